"""The whole training step of Swin and ResNet against ``reference.py``; ViT's is in ``test_poa.py``."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch

from poa_mm.models.poa import POA
from poa_mm.registry import MODELS
from tests.helpers.networks import RESNET_STEP, SWIN_STEP


def load(name):
    spec = importlib.util.spec_from_file_location(f'poa_{name}', Path(__file__).parent / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference, families = load('reference'), load('reference_families')
B, V = 3, 2
FAMILIES = {
    'swin': (
        SWIN_STEP,
        partial(families.swin, max_width=32, max_depths=(1, 3, 1), elastic=1, window=3, head_dim=8, cell=8),
    ),
    'resnet': (
        RESNET_STEP,
        partial(families.resnet, max_width=16, max_depths=(1, 2, 3), groups=4, cell=8),
    ),
}


def build(backbone) -> POA:
    torch.manual_seed(0)
    head = dict(type='MultiPrototypeHead', num_prototypes=(40, 72), hidden_dims=48, bottleneck_dims=24)
    model = MODELS.build(dict(type='POA', backbone=backbone, head=head))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else parameter.data.uniform_(0.2, 1)
    return model


def relative(a, b):
    return float((a - b).norm() / b.norm().clamp_min(1e-12))


@pytest.mark.parametrize('family', FAMILIES)
def test_step_equals_the_reference(family):
    """Every component and the gradients of all parameters, to a relative 1e-4."""
    config, run = FAMILIES[family]
    model = build(config)
    space = model.backbone.space
    generator = torch.Generator().manual_seed(1)
    global_crops = torch.randn(2 * B, 3, 32, 32, generator=generator)
    local_crops = torch.randn(V * B, 3, 16, 16, generator=generator)
    masks = torch.rand(2 * B, 16, generator=generator) < 0.4
    masks[::2] = False
    dims = model.backbone.feature_dims
    for subnet in [*list(space)[:-1:3], list(space)[-2]]:
        model.zero_grad()
        losses = model.compute_losses(global_crops, local_crops, masks, subnet=subnet, teacher_temp=0.05)
        losses['loss'].backward()
        params = {k: v.detach().clone().requires_grad_() for k, v in model.named_parameters()}
        teacher = {k.removeprefix('teacher.'): v for k, v in params.items() if k.startswith('teacher.')}
        student = {k: v for k, v in params.items() if not k.startswith('teacher.')}
        expected = reference.step(
            student,
            teacher,
            (global_crops, local_crops),
            masks,
            {n: (dims(s), (s.width, s.depth)) for n, s in [('intact', space.intact), ('elastic', subnet)]},
            temp=0.05,
            num_heads=2,
            run=lambda params, images, masks, dims, size: run(params, images, masks, size, prefix='backbone.'),
        )
        expected['loss'].backward()
        assert {name: value.shape for name, value in losses.items()} == {k: v.shape for k, v in expected.items()}
        for name in expected:
            assert relative(losses[name], expected[name]) < 1e-4, (str(subnet), name)
        for name, parameter in model.named_parameters():
            if name.startswith('teacher.') or student[name].grad is None:
                assert parameter.grad is None, name
            else:
                assert relative(parameter.grad, student[name].grad) < 1e-4, (str(subnet), name)
        unused = {name for name in student if student[name].grad is None}
        stages = (0, 1) if family == 'swin' else ()  # the output norms of all stages but the last
        assert unused == {f'backbone.norm{i}.{kind}' for i in stages for kind in ('weight', 'bias')}
