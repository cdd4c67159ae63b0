import pytest
import torch
from mmengine.hooks import Hook

from poa_mm.engine import FreezeLastLayerHook


class Watch(Hook):
    priority = 'LOWEST'

    def __init__(self):
        self.last, self.mlp, self.lrs = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.lrs.append({g['name']: g['lr'] for g in runner.optim_wrapper.optimizer.param_groups})

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        head = runner.model.head[0]
        self.last.append(head.last_layer.weight.detach().clone())
        self.mlp.append(head.mlp.weight.detach().clone())


@pytest.mark.parametrize('counts', [1, 2])
def test_frozen_then_free(make_runner, counts):
    watch = Watch()
    hooks = [dict(type='FreezeLastLayerHook', steps=3), watch]
    runner = make_runner(steps=5, accumulative_counts=counts, hooks=hooks)
    start = runner.model.head[0].last_layer.weight.detach().clone()
    runner.train()
    last, mlp = watch.last, watch.mlp
    assert all(torch.equal(weight, start) for weight in last[:3])
    assert not torch.equal(last[3], start) and not torch.equal(last[4], last[3])
    assert not torch.equal(mlp[1], mlp[0])  # step 0 has lr 0: warm-up
    # Back at the schedule's value, with no memory of the freeze.
    for lrs in watch.lrs[3:]:
        assert lrs['heads lr x 1, last layer'] == lrs['heads lr x 1'] > 0


def test_needs_a_last_layer(make_runner):
    wrapper = dict(type='PoaOptimWrapper', optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.1, fused=True))
    runner = make_runner(hooks=[FreezeLastLayerHook(1)], optim_wrapper=wrapper)
    with pytest.raises(ValueError, match='LayerDecayOptimWrapperConstructor'):
        runner.train()
    with pytest.raises(ValueError, match='-1'):
        FreezeLastLayerHook(-1)
