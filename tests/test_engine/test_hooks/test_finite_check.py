"""Endless non-finite training ends, with an exit code of its own."""

from types import SimpleNamespace

import pytest
import torch

from poa_mm.engine.hooks import FiniteCheckHook
from poa_mm.errors import RunStopped, UserError


def run(pattern, limit, interval=1, scale=None):
    """Step at which the hook stops, given which steps are finite; ``None`` if it does not."""
    wrapper = SimpleNamespace(finite=None, loss_scaler=None)
    runner = SimpleNamespace(optim_wrapper=wrapper, iter=0, max_iters=10**6)
    hook = FiniteCheckHook(limit, interval, records=0)
    hook.before_train(runner)
    for step, finite in enumerate(pattern):
        runner.iter, wrapper.finite = step, torch.tensor(float(finite))
        if scale is not None:
            wrapper.loss_scaler = SimpleNamespace(_scale=torch.tensor(scale * 0.5**step))
        try:
            hook.after_train_iter(runner, step)
        except RunStopped as stop:
            assert stop.exit_code == 3 and 'in a row' in str(stop)
            return step
    return None


def test_only_steps_in_a_row_count():
    assert run([1, 0, 0, 0, 1], 3) == 3
    assert run([0, 0, 1] * 20, 3) is None
    assert run([1, 0, 0, 0, 1], 4) is None
    assert run([0] * 60, 50, interval=10) == 59 - 10  # looked at after steps 10, 20, ...
    assert run([1, 0, 0, 0, 1, 1], 3, interval=6) == 5  # the longest row, also if it has ended since


def test_calibration_of_fp16_is_not_counted():
    assert run([0] * 16 + [1] * 10, 3, scale=65536.0) is None
    assert run([0] * 40, 3, scale=65536.0) == 19  # the scale is below 1 from step 17 on


def test_a_run_of_bad_images_ends(make_runner, tiny_data, tmp_path):
    runner = make_runner(steps=30, data=tiny_data(bad=range(8, 16)), hooks=[FiniteCheckHook(4, 2)])
    with pytest.raises(RunStopped, match='4 optimizer steps in a row'):
        runner.train()
    assert sorted(path.name for path in (tmp_path / 'run/skipped').iterdir())[0] == 'step_5_rank_0.json'
    assert 4 <= runner.iter < 12 and all(value.isfinite().all() for value in runner.model.state_dict().values())


@pytest.mark.parametrize('arguments', [dict(limit=0), dict(interval=0)])
def test_arguments(arguments):
    with pytest.raises(UserError, match='must be at least 1'):
        FiniteCheckHook(**arguments)
