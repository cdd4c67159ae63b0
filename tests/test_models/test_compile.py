"""Compiled blocks compute the same, and are not compiled for every sub-network."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import poa_mm.models  # noqa: F401
from poa_mm.models.backbones.compile import compile_backbone
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

CONFIG = dict(
    type='POA',
    backbone={**VIT, 'img_size': 32, 'widths': (16, 64, 8), 'drop_path_rate': 0.2},
    head=dict(type='MultiPrototypeHead', num_prototypes=(40,), hidden_dims=48, bottleneck_dims=24),
)


def test_seven_widths_and_three_compilations():
    torch.manual_seed(0)
    plain = MODELS.build(CONFIG)
    compiled = copy.deepcopy(plain)
    counter = CompileCounter()
    for backbone in (compiled.backbone, compiled.teacher.backbone):
        compile_backbone(backbone, backend=counter)
    globals_, locals_ = torch.randn(6, 3, 32, 32), torch.randn(6, 3, 16, 16)
    masks = torch.arange(16).expand(6, 16) < 5
    for seed, subnet in enumerate(plain.backbone.space):
        losses = []
        for model in (plain, compiled):
            torch.manual_seed(seed)  # drop path draws samples
            losses.append(model.compute_losses(globals_, locals_, masks, subnet=subnet, teacher_temp=0.05)['loss'])
            model.zero_grad()
            losses[-1].backward()
        torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)
        for a, b in zip(plain.parameters(), compiled.parameters()):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)
    assert len(plain.backbone.space.widths) == 7
    assert counter.frame_count == 3  # teacher, intact student, all sliced widths


@pytest.mark.parametrize('on', [True, False])
def test_option(on):
    model = MODELS.build({**CONFIG, 'compile_blocks': on})
    blocks = [*model.backbone.layers, *model.teacher.backbone.layers]
    assert all((block._compiled_call_impl is not None) == on for block in blocks)
    assert model.state_dict().keys() == MODELS.build(CONFIG).state_dict().keys()
    copy.deepcopy(model)
