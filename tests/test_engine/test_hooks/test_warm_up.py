from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict

from poa_mm.engine import WarmUpHook
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

LOADER = ConfigDict(
    batch_size=2,
    collate_fn=dict(type='poa_mm.multi_crop_collate', grid=(2, 2), mask_ratio=(0.2, 0.5)),
    dataset=dict(
        views=dict(
            global_1=dict(size=16, scale=(0.3, 1.0), blur=0.5),
            global_2=dict(size=16, scale=(0.3, 1.0), blur=0.5),
            local=dict(size=8, number=2, scale=(0.1, 0.3), blur=0.5),
        )
    ),
)


def build(compile_blocks, monkeypatch):
    head = dict(type='MultiPrototypeHead', num_prototypes=(12,), hidden_dims=16, bottleneck_dims=8)
    target = dict(type='Centering', num_prototypes=(12,))
    cfg = dict(type='POA', _scope_='poa_mm', backbone=VIT, head=head, target=target, compile_blocks=compile_blocks)
    model = MODELS.build(cfg).train()
    # What the compiler makes of blocks and losses is tested elsewhere.
    monkeypatch.setattr('poa_mm.models.poa.compile_backbone', lambda backbone: None)
    monkeypatch.setattr('poa_mm.models.losses.fused._compiled', {})
    monkeypatch.setattr(torch, 'compile', lambda function, **options: function)
    wrapper = SimpleNamespace(amp_dtype=torch.bfloat16)
    return SimpleNamespace(model=model, cfg=SimpleNamespace(train_dataloader=LOADER), optim_wrapper=wrapper)


@pytest.mark.parametrize('compile_blocks', [True, None])
def test_every_width_runs_and_nothing_changes(compile_blocks, monkeypatch):
    runner = build(compile_blocks, monkeypatch)
    model, ran = runner.model, []
    compute = model.compute_losses
    monkeypatch.setattr(
        model, 'compute_losses', lambda *a, subnet, **kw: ran.append(str(subnet)) or compute(*a, subnet=subnet, **kw)
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    WarmUpHook().before_train(runner)
    # On a CPU only where blocks are compiled.
    assert ran == (['32x2', '24x2', '16x2'] if compile_blocks else [])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
