import copy
import itertools
import math

import pytest
import torch
from mmengine.hooks import Hook

from poa_mm.engine import TeacherEMAHook


def _run(make_runner, steps=3, counts=1, **kwargs):
    """Run, and recompute the teacher beside it by the formula, in float64."""
    hook = dict(type='TeacherEMAHook', start=0.5, final=0.9, steps=steps, run_fraction=0.6)
    runner = make_runner(steps=steps, accumulative_counts=counts, hooks=[hook], **kwargs)
    model = runner.model
    expected = {k: v.double().clone() for k, v in model.teacher.state_dict().items()}
    wrapper_step = model.train_step
    iteration = 0

    def train_step(*args, **kwargs):
        nonlocal iteration
        out = wrapper_step(*args, **kwargs)
        if (iteration + 1) % counts == 0:
            step = iteration // counts
            total = steps / 0.6
            momentum = 0.9 + 0.5 * (0.5 - 0.9) * (1 + math.cos(math.pi * step / total))
            student = model.state_dict()
            for key in expected:
                expected[key] = momentum * expected[key] + (1 - momentum) * student[key].double()
        iteration += 1
        return out

    model.train_step = train_step
    runner.train()
    got = {k: v.double() for k, v in model.teacher.state_dict().items()}
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    return runner


def test_against_formula(make_runner):
    runner = _run(make_runner)
    teacher, student = runner.model.teacher, runner.model
    assert not torch.equal(teacher.backbone.norm.weight, student.backbone.norm.weight)
    last = 0.9 - 0.2 * (1 + math.cos(math.pi * 2 * 0.6 / 3))
    assert runner.message_hub.get_scalar('train/momentum').current() == pytest.approx(last)


def test_once_per_optimizer_step(make_runner):
    _run(make_runner, steps=4, counts=3)


def test_not_after_a_skipped_step():
    hook = TeacherEMAHook(0.5, 0.5, steps=1)
    hook.teacher = [torch.ones(3), torch.zeros(2, 2)]
    hook.student = [torch.full((3,), 3.0), torch.ones(2, 2)]
    hook.buffers = [(torch.zeros(2), torch.full((2,), torch.nan)), (torch.tensor(1), torch.tensor(5))]
    before = copy.deepcopy([hook.teacher, hook.buffers])
    hook.update(0.5, torch.tensor(0.0))
    torch.testing.assert_close([hook.teacher, hook.buffers], before, rtol=0, atol=0, equal_nan=True)
    hook.update(0.5, torch.tensor(1.0))
    assert torch.equal(hook.teacher[0], torch.full((3,), 2.0))
    assert torch.equal(hook.teacher[1], torch.full((2, 2), 0.5))
    assert hook.buffers[1][0] == 5
    hook.update(0.5)
    assert torch.equal(hook.teacher[0], torch.full((3,), 2.5))


def test_on_the_device_as_on_the_host():
    """The update that the device may leave out is ``_foreach_lerp_`` bit for bit, and leaves the student alone."""
    student = [torch.randn(7, 5), torch.randn(300)]
    kept = copy.deepcopy(student)
    results = []
    for finite in (None, torch.tensor(1.0)):
        hook = TeacherEMAHook(0.5, 0.5, steps=1)
        hook.teacher, hook.student, hook.buffers = [torch.ones(7, 5), torch.zeros(300)], student, []
        for momentum in (0.992, 0.3, 1.0, 0.0):
            hook.update(momentum, finite)
            results.append([t.clone() for t in hook.teacher])
    torch.testing.assert_close(results[4:], results[:4], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(student, kept, rtol=0, atol=0)


def test_skipped_step_in_a_run(make_runner, tiny_data):
    kept = []

    class Watch(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            kept.append({k: v.clone() for k, v in runner.model.state_dict().items()})

    hooks = [dict(type='TeacherEMAHook', start=0.5, final=0.9, steps=4), Watch()]
    make_runner(steps=4, data=tiny_data(bad=[4]), hooks=hooks).train()  # two rows an iteration: the third is bad
    same = [all(torch.equal(a[k], b[k]) for k in a) for a, b in itertools.pairwise(kept)]
    assert same == [False, True, False]
    key = 'teacher.backbone.norm.weight'
    assert not torch.equal(kept[3][key], kept[2][key])


def test_before_evaluation_and_checkpoint(make_runner):
    runner = make_runner(hooks=[dict(type='TeacherEMAHook', start=0.9, final=0.9, steps=4)])
    order = [type(hook).__name__ for hook in runner.hooks]
    assert order.index('TeacherEMAHook') < order.index('IterTimerHook')
    assert order.index('TeacherEMAHook') < order.index('AtomicCheckpointHook')


def test_wrong_values():
    with pytest.raises(ValueError, match=r'1\.2'):
        TeacherEMAHook(1.2, 1.0, steps=1)
    with pytest.raises(ValueError, match='steps'):
        TeacherEMAHook(0.9, 1.0, steps=0)
