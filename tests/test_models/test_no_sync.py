"""Nothing in a whole training step makes the host wait for a device."""

from types import SimpleNamespace

import pytest
import torch

from poa_mm.engine import LayerDecayOptimWrapperConstructor, TeacherEMAHook
from poa_mm.registry import MODELS
from tests.helpers.networks import RESNET_STEP, SWIN_STEP, VIT
from tests.helpers.no_sync import NoSync

B, V = 3, 2
STEP = dict(step=0, rank=0, seed=0)
BACKBONES = {
    'vit': {**VIT, 'img_size': 32, 'drop_path_rate': 0.2},
    'swin': {**SWIN_STEP, 'drop_path_rate': 0.2},
    'resnet': RESNET_STEP,
}


def batch():
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(2 * B, 16, generator=generator) < 0.4
    weights = 1 / masks.sum(1, keepdim=True).clamp(min=1)
    return dict(
        global_crops=torch.randint(256, (2 * B, 3, 32, 32), generator=generator, dtype=torch.uint8),
        local_crops=torch.randint(256, (V * B, 3, 16, 16), generator=generator, dtype=torch.uint8),
        masks=masks,
        mask_indices=masks.flatten().nonzero().flatten(),
        mask_weights=weights.expand_as(masks)[masks],
        **STEP,
    )


def build(family, target, amp_dtype, device='cpu'):
    torch.manual_seed(0)
    target = dict(type=target, **({'num_prototypes': (40,)} if target == 'Centering' else {}))
    head = dict(type='MultiPrototypeHead', num_prototypes=(40,), hidden_dims=48, bottleneck_dims=24)
    model = MODELS.build(dict(type='POA', backbone=BACKBONES[family], head=head, target=target)).to(device).train()
    cfg = dict(
        type='poa_mm.PoaOptimWrapper',
        optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.04, fused=True),
        clip_grad=dict(max_norm=1.5, separately=True),
        amp_dtype=amp_dtype,
    )
    hook = TeacherEMAHook(start=0.9, final=0.9, steps=1)
    hook.before_train(SimpleNamespace(model=model))
    return model, LayerDecayOptimWrapperConstructor(cfg)(model), hook


@pytest.mark.parametrize('amp_dtype', [None, 'bfloat16'])
@pytest.mark.parametrize('target', ['SinkhornKnopp', 'Centering'])
@pytest.mark.parametrize('family', BACKBONES)
def test_step(family, target, amp_dtype):
    model, wrapper, hook = build(family, target, amp_dtype)
    before = {name: value.clone() for name, value in model.named_parameters()}
    data = dict(inputs=batch())
    # The CPU's fused AdamW reads scalars, a GPU's does not: it runs outside the guard.
    adamw, wrapper.optimizer.step = wrapper.optimizer.step, lambda: None
    with NoSync():
        model.train_step(data, wrapper)
        hook.update(0.9, wrapper.finite)
    wrapper.optimizer.step = adamw
    model.train_step(data, wrapper)
    hook.update(0.9, wrapper.finite)
    assert wrapper.finite == 1
    changed = {name.split('.')[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {'backbone', 'head', 'teacher'}  # a step it was


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('family', BACKBONES)
def test_step_on_a_gpu(family):
    """PyTorch's own guard, which also sees copies that wait."""
    model, wrapper, hook = build(family, 'SinkhornKnopp', 'bfloat16', 'cuda')
    data = dict(inputs={k: v.pin_memory() if isinstance(v, torch.Tensor) else v for k, v in batch().items()})
    try:
        for mode in ('default', 'error'):  # in the first step the optimizer makes its state
            torch.cuda.set_sync_debug_mode(mode)
            model.train_step(data, wrapper)
            hook.update(0.9, wrapper.finite)
    finally:
        torch.cuda.set_sync_debug_mode('default')


def test_the_guard_sees_a_sync():
    x = torch.randn(4)
    syncs = [lambda: x.sum().item(), lambda: bool(x[0] > 0), lambda: x[x > 0], lambda: x.nonzero(), lambda: int(x[0])]
    for sync in syncs:
        with pytest.raises(AssertionError), NoSync():
            sync()
