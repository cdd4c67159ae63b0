"""One iteration is one optimizer step, on any number of processes."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

import poa_mm
from poa_mm.engine.loops import step_seed
from poa_mm.engine.optim_wrapper import count_micro_batches
from poa_mm.errors import UserError
from tests.helpers import loop_runs
from tests.helpers.processes import in_processes

CONFIG = Path(poa_mm.__file__).parents[1] / 'configs/poa_demo.py'


def test_an_iteration_is_an_optimizer_step(make_runner):
    """Micro-batches know their step and rank; the log holds their mean; the wrapper steps once per iteration."""
    updates, logged = [], []

    class Watch(Hook):
        def before_train(self, runner):
            real = runner.optim_wrapper.step
            runner.optim_wrapper.step = lambda **kwargs: updates.append(runner.iter) or real(**kwargs)

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            logged.append(outputs['loss'])

    runner = make_runner(steps=3, accumulative_counts=2, hooks=[Watch()])
    model, losses = runner.model, []
    model.register_forward_hook(lambda *args: losses.append(args[-1]['loss'].detach()))
    runner.train()
    assert model.seen == [dict(step=step, rank=rank, seed=0) for step in range(3) for rank in range(2)]
    assert updates == [0, 1, 2] and runner.iter == 3
    torch.testing.assert_close(torch.stack(logged), torch.stack(losses).view(3, 2).mean(1))


@pytest.mark.parametrize(
    'total, batch_size, processes, counts',
    [(1600, 50, 32, 1), (1600, 50, 8, 4), (1600, 50, 16, 2), (1600, 50, 1, 32), (1280, 40, 8, 4), (64, 64, 1, 1)],
)
def test_micro_batches_follow_the_number_of_processes(total, batch_size, processes, counts):
    assert count_micro_batches(total, batch_size, processes) == counts


@pytest.mark.parametrize(
    'total, batch_size, processes, message',
    [
        (64, 64, 2, r'total_batch=64 .* 64 images on 2 processes: batch_size=32 trains the same \(so do 16, 8, 4\)'),
        (1600, 60, 8, r'batch_size=50 trains the same \(so do 40, 25, 20\), or set total_batch to a multiple of 480'),
        (64, 64, 3, r'on 3 processes: set total_batch to a multiple of 192\.'),
        (64, 0, 1, 'at least 1, got 64 and 0'),
    ],
)
def test_a_total_that_cannot_be_divided(total, batch_size, processes, message):
    with pytest.raises(UserError, match=message):
        count_micro_batches(total, batch_size, processes)


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """What the optimizer steps saw in 4 processes, in 2 with 2 micro-batches each, and in 1 with 4, per process."""
    folder = tmp_path_factory.mktemp('loops')
    four, two = (in_processes(number, loop_runs.run, folder, name) for number, name in ((4, 'four'), (2, 'two')))
    one = [loop_runs.run(folder, 'one', resume=folder / f'two/iter_{loop_runs.HALF}.pth')]
    return dict(four=four, two=two, one=one), folder


def by_virtual_rank(processes, step, key):
    """The micro-batches of a step: those of all processes, then the next one of each."""
    return [item for micro in zip(*(process[step][key] for process in processes)) for item in micro]


def assert_same_step(found, step, expected, expected_step):
    assert by_virtual_rank(found, step, 'images') == by_virtual_rank(expected, expected_step, 'images')
    draws = by_virtual_rank(found, step, 'draws')
    assert draws == by_virtual_rank(expected, expected_step, 'draws') and [rank for rank, _ in draws] == [0, 1, 2, 3]
    losses = [torch.stack([p[i]['loss'] for p in run]).mean() for run, i in ((found, step), (expected, expected_step))]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=0)
    grads, expected_grads = found[0][step]['grads'], expected[0][expected_step]['grads']
    assert grads.keys() == expected_grads.keys()
    for name, grad in expected_grads.items():
        assert (grads[name] - grad).norm() <= 1e-3 * grad.norm() + 1e-7, name


def test_micro_batches_equal_processes(runs):
    """2 processes x 2 micro-batches see what 4 processes see, draw what they draw and sum up to their gradients."""
    (loaded, _) = runs
    for step in range(4):
        assert_same_step(loaded['two'], step, loaded['four'], step)
    draws = by_virtual_rank(loaded['four'], 0, 'draws') + by_virtual_rank(loaded['four'], 1, 'draws')
    assert len({subnet for _, subnet in draws}) > 2


def test_resume_on_another_number_of_processes(runs):
    """Steps 2 and 3 of the run of two processes in one process, from its checkpoint of step 2."""
    loaded, folder = runs
    assert len(loaded['one'][0]) == 2
    for step in range(2):
        assert_same_step(loaded['one'], step, loaded['four'], 2 + step)
    assert sorted(path.name for path in (folder / 'four').glob('*.pth')) == ['iter_2.pth', 'iter_4.pth']


@pytest.fixture
def run(tmp_path):
    """Weights and optimizer state of a few steps of a recipe with drop path and two micro-batches."""

    def call(name, steps=4, drop_path_rate=0.4, resume=False):
        cfg = Config.fromfile(CONFIG)
        cfg.merge_from_dict(
            {
                'model.backbone.drop_path_rate': drop_path_rate,
                'model.backbone.widths': (32, 64, 32),
                'model.head': dict(num_prototypes=(32, 48), hidden_dims=32, bottleneck_dims=16),
                'model.schedule.patch_loss_start': 1,
                'train_dataloader': dict(batch_size=4, num_workers=0, persistent_workers=False),
                'train_dataloader.sampler.batch_size': 4,
                'train_dataloader.dataset.dataset.num_samples': 12,
                'optim_wrapper': dict(total_batch=8, batch_size=4),
                'train_cfg.max_iters': steps,
                'default_hooks': dict(checkpoint=dict(interval=2), freeze_last_layer=dict(steps=0)),
                'param_scheduler': [dict(type='CosineLR', steps=4, final=2e-5)],
                'work_dir': str(tmp_path / name),
                'experiment_name': f'{tmp_path.name}_{name}_{steps}_{resume}',
                'log_level': 'ERROR',
                'resume': resume,
            }
        )
        torch.manual_seed(123 * (1 + resume))  # another process has another state
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner.model.state_dict(), runner.optim_wrapper.state_dict()['state']

    return call


def test_a_resumed_run_draws_images_with_the_seed_of_its_checkpoint(make_runner, tmp_path):
    def run(place, steps, seed, **kwargs):
        seen = []

        class Watch(Hook):
            def before_train_iter(self, runner, batch_idx, data_batch=None):
                seen.append(data_batch[0]['inputs']['x'].sum().item())

        hooks = dict(checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=2))
        settings = dict(work_dir=tmp_path / place, default_hooks=hooks, hooks=[Watch()], sampler=dict(shuffle=True))
        make_runner(steps=steps, randomness=dict(seed=seed), **settings, **kwargs).train()
        return seen

    whole = run('whole', 4, 3)
    run('parts', 2, 3)
    resumed = run('parts', 4, 4, resume=True, load_from=str(tmp_path / 'parts/iter_2.pth'))
    assert resumed == whole[2:] and run('other', 4, 4)[2:] != whole[2:]


def test_seeds_by_rank_are_refused(make_runner):
    with pytest.raises(UserError, match='diff_rank_seed must be False'):
        make_runner(randomness=dict(seed=0, diff_rank_seed=True)).train()


def test_resume_is_exact_with_drop_path(run):
    weights, state = run('whole')
    run('parts', steps=2)
    resumed, resumed_state = run('parts', resume=True)
    assert all(torch.equal(resumed[name], value) for name, value in weights.items())
    for index, entry in state.items():
        assert all(torch.equal(resumed_state[index][key], value) for key, value in entry.items())
    without, _ = run('without', drop_path_rate=0.0)
    assert not torch.equal(without['teacher.backbone.ln1.weight'], weights['teacher.backbone.ln1.weight'])


def test_seeds_differ():
    seeds = {step_seed(*key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 0), (0, 2**40, 2000)]}
    assert len(seeds) == 6
    assert step_seed(3, 5, 1) == step_seed(3, 5, 1)
    torch.manual_seed(max(seeds))
