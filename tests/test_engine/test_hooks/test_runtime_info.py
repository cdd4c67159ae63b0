import json
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub

from poa_mm.engine.schedules import cosine


def _loss_history(runner):
    return runner.message_hub.get_scalar('train/loss').data[0].tolist()


def _defaults(hook, interval):
    return dict(runtime_info=dict(type=hook), logger=dict(type='LoggerHook', interval=interval))


def test_same_log_as_mmengine(make_runner, tmp_path):
    """Values and printed lines are those of RuntimeInfoHook, for 7 iterations printed at 3, 6 (and 7 kept)."""
    logs, histories = [], []
    for hook in ('RuntimeInfoHook', 'LazyRuntimeInfoHook'):
        runner = make_runner(
            steps=7,
            default_hooks=_defaults(hook, 3),
            log_processor=dict(by_epoch=False, window_size=3),
            work_dir=str(tmp_path / hook),
        )
        runner.train()
        histories.append(_loss_history(runner))
        (log,) = Path(runner.log_dir).rglob('scalars.json')
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        keys = ('loss', 'lr', 'base_lr', 'iter')
        logs.append([{k: line[k] for k in keys} for line in lines])
        if hook.startswith('Lazy'):
            assert all(line['grad_norm_backbone'] > 0 and line['grad_norm_heads'] > 0 for line in lines)
            assert all(line['skipped_steps'] == 0 for line in lines)
            decay = [cosine(line['iter'] - 1, 0.04, 0.4, 7 / 0.78) for line in lines]
            assert [line['weight_decay'] for line in lines] == pytest.approx(decay)
    assert histories[0] == histories[1] and len(histories[0]) == 7
    assert logs[0] == logs[1] and [line['iter'] for line in logs[0]] == [3, 6]


def test_no_transfer_between_prints(make_runner, monkeypatch):
    calls, values = [], []
    real = torch.Tensor.tolist
    monkeypatch.setattr(
        torch.Tensor, 'tolist', lambda self: (self.is_floating_point() and calls.append(len(self))) or real(self)
    )
    update = MessageHub.update_scalar
    monkeypatch.setattr(
        MessageHub,
        'update_scalar',
        lambda self, key, value, *args, **kwargs: values.append(value) or update(self, key, value, *args, **kwargs),
    )
    make_runner(steps=8, default_hooks=_defaults('LazyRuntimeInfoHook', 4)).train()
    assert calls == [4 * 3 + 1] * 2  # loss and two norms of four iterations, and the skipped steps
    assert not any(isinstance(value, torch.Tensor) for value in values)


def test_history_is_bounded(make_runner):
    hooks = dict(runtime_info=dict(type='LazyRuntimeInfoHook', history=3), logger=dict(type='LoggerHook', interval=2))
    runner = make_runner(steps=10, default_hooks=hooks)
    runner.train()
    assert len(_loss_history(runner)) == 3
    assert len(runner.message_hub.get_scalar('train/lr').data[0]) == 3


def test_skipped_steps_are_told(make_runner, tiny_data, monkeypatch):
    runner = make_runner(steps=8, data=tiny_data(bad=[2, 12]), default_hooks=_defaults('LazyRuntimeInfoHook', 4))
    said = []
    monkeypatch.setattr(runner.logger, 'warning', said.append)
    runner.train()
    told = [text for text in said if 'skipped' in text]
    assert [text.split(' since')[0] for text in told] == ['1 optimizer steps skipped'] * 2
    assert '(2 in all)' in told[1]
    assert runner.message_hub.get_scalar('train/skipped_steps').current() == 2
    assert all(p.isfinite().all() for p in runner.model.parameters())


@pytest.mark.parametrize('interval', [4])
def test_other_optimizer_wrappers(make_runner, interval):
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.1))
    runner = make_runner(optim_wrapper=wrapper, default_hooks=_defaults('LazyRuntimeInfoHook', interval))
    runner.train()
    assert len(_loss_history(runner)) == 4
    assert 'train/grad_norm' not in runner.message_hub.log_scalars
