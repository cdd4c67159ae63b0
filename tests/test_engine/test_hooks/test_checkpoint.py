from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner.checkpoint import _load_checkpoint

from poa_mm.engine import AtomicCheckpointHook
from poa_mm.engine.hooks.checkpoint import AtomicLocalBackend
from poa_mm.errors import RunStopped

POA_HOOKS = [
    dict(type='TeacherEMAHook', start=0.9, final=0.99, steps=4),
    dict(type='FreezeLastLayerHook', steps=2),
]


def _saving(interval=1, **kwargs):
    return dict(
        checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=interval, **kwargs),
        logger=dict(type='LoggerHook', interval=2),
    )


def _files(runner):
    return sorted(path.name for path in Path(runner.work_dir).iterdir() if path.is_file() and path.suffix != '.py')


def _pointer(runner):
    return Path(Path(runner.work_dir, 'last_checkpoint').read_text()).name


class Crash(Exception):
    pass


def _half_written(monkeypatch, after):
    """The process is killed in the middle of the checkpoint that follows ``after`` whole ones."""
    real, count = AtomicLocalBackend.put, 0

    def put(self, obj, filepath):
        nonlocal count
        count += str(filepath).endswith('.pth')
        if count <= after:
            return real(self, obj, filepath)
        Path(filepath).with_name(f'.{Path(filepath).name}.1.incomplete').write_bytes(obj[: len(obj) // 2])
        raise Crash

    monkeypatch.setattr(AtomicLocalBackend, 'put', put)


@pytest.mark.parametrize('counts', [1, 2])
@pytest.mark.parametrize('amp_dtype', [None, 'float16'])
def test_resume_is_exact(make_runner, tmp_path, counts, amp_dtype):
    """4 steps are 2 steps, a new process, and 2 steps: bit for bit, student, teacher and optimizer."""

    def build(name, **kwargs):
        runner = make_runner(
            steps=4,
            accumulative_counts=counts,
            hooks=[dict(hook) for hook in POA_HOOKS],
            default_hooks=_saving(2),
            work_dir=str(tmp_path / name),
            **kwargs,
        )
        runner.optim_wrapper['amp_dtype'] = amp_dtype
        return runner

    whole = build('whole')
    whole.train()
    first = build('parts', train_cfg=dict(type='StepTrainLoop', max_iters=2))
    first.train()
    second = build('parts', resume=True)
    with torch.no_grad():
        for param in second.model.parameters():
            param.add_(1)  # nothing may come from the start
    second.train()
    assert second.iter == whole.iter == 4

    expected, got = whole.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(got[key], value) for key, value in expected.items())
    ours, theirs = second.optim_wrapper.state_dict(), whole.optim_wrapper.state_dict()
    for index, entry in theirs['state'].items():
        assert all(torch.equal(ours['state'][index][key], value) for key, value in entry.items())
    ours_groups = [{k: v for k, v in g.items() if k != 'params'} for g in ours['param_groups']]
    assert ours_groups == [{k: v for k, v in g.items() if k != 'params'} for g in theirs['param_groups']]
    assert second.model.seen == whole.model.seen[2 * counts :]


def test_crash_while_writing(make_runner, monkeypatch):
    runner = make_runner(default_hooks=_saving(max_keep_ckpts=1))
    with monkeypatch.context() as context:
        _half_written(context, after=2)
        with pytest.raises(Crash):
            runner.train()
    assert _files(runner) == ['.iter_3.pth.1.incomplete', 'iter_2.pth', 'last_checkpoint']
    assert _pointer(runner) == 'iter_2.pth'

    resumed = make_runner(default_hooks=_saving(max_keep_ckpts=1), resume=True)
    resumed.train()
    assert len(resumed.model.seen) == 2
    assert _files(resumed) == ['iter_4.pth', 'last_checkpoint']
    assert _pointer(resumed) == 'iter_4.pth'


def test_crash_before_the_pointer(make_runner, monkeypatch):
    runner = make_runner(default_hooks=_saving(max_keep_ckpts=1))
    real = AtomicLocalBackend.put_text

    def put_text(self, obj, filepath, encoding='utf-8'):
        if 'iter_3' in obj:
            raise Crash
        real(self, obj, filepath, encoding)

    with monkeypatch.context() as context:
        context.setattr(AtomicLocalBackend, 'put_text', put_text)
        with pytest.raises(Crash):
            runner.train()
    assert _pointer(runner) == 'iter_2.pth'
    for name in ('iter_2.pth', 'iter_3.pth'):
        _load_checkpoint(str(Path(runner.work_dir, name)))

    resumed = make_runner(default_hooks=_saving(max_keep_ckpts=1), resume=True)
    resumed.train()
    assert _files(resumed) == ['iter_4.pth', 'last_checkpoint']


def test_old_ones_are_deleted_after_the_new_one(make_runner, monkeypatch):
    present = []
    real = AtomicLocalBackend.put

    def put(self, obj, filepath):
        real(self, obj, filepath)
        if str(filepath).endswith('.pth'):
            present.append(sorted(path.name for path in Path(filepath).parent.glob('*.pth')))

    monkeypatch.setattr(AtomicLocalBackend, 'put', put)
    runner = make_runner(default_hooks=_saving(max_keep_ckpts=2))
    runner.train()
    assert present[2] == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']
    assert _files(runner) == ['iter_3.pth', 'iter_4.pth', 'last_checkpoint']


def test_all_are_kept_by_default(make_runner):
    runner = make_runner(default_hooks=_saving())
    runner.train()
    assert _files(runner) == [f'iter_{i}.pth' for i in range(1, 5)] + ['last_checkpoint']


def test_local_disks_only():
    with pytest.raises(ValueError, match='backend_args'):
        AtomicCheckpointHook(backend_args=dict(backend='petrel'))
    with pytest.raises(ValueError, match='s3://bucket'):
        AtomicCheckpointHook(out_dir='s3://bucket')


def test_non_finite_weights_are_not_saved(make_runner, tmp_path):
    class Break(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if batch_idx == 1:
                runner.model.backbone.norm.weight.data[1] = float('nan')

    hooks = dict(checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=1))
    with pytest.raises(RunStopped, match=r'backbone\.norm\.weight holds NaN .* after step 2') as stop:
        make_runner(default_hooks=hooks, hooks=[Break()]).train()
    assert stop.value.exit_code == 3
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['iter_1.pth']
