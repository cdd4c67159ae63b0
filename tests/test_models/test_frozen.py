"""A frozen backbone is the backbone it holds, and nothing that trains touches it."""

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from poa_mm.models import FrozenBackbone
from poa_mm.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(
    type='mmpretrain.VisionTransformer',
    arch=ARCH,
    img_size=32,
    out_indices=[0, 1],
    out_type='featmap',
    final_norm=False,
    drop_path_rate=0.9,
    drop_rate=0.5,
)
RESNET = dict(type='mmpretrain.ResNet', depth=18, out_indices=(1, 3))  # BatchNorm


def frozen(backbone: dict) -> FrozenBackbone:
    return MODELS.build(dict(type='poa_mm.FrozenBackbone', backbone=backbone))


@pytest.mark.parametrize('cfg', [VIT, RESNET], ids=['vit', 'resnet'])
def test_training_changes_nothing(cfg):
    torch.manual_seed(0)
    model = frozen(cfg)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(2):
        model.train()
        assert not any(module.training for module in model.modules())
        maps = model(torch.randn(2, 3, 64, 32))
        assert not any(m.requires_grad for m in maps)
    assert not any(p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize('cfg', [VIT, RESNET], ids=['vit', 'resnet'])
def test_outputs_are_the_backbones(cfg):
    model = frozen(cfg)
    plain = MODELS.build(cfg)
    plain.eval()
    plain.load_state_dict(model.backbone.state_dict())
    images = torch.randn(2, 3, 64, 32)
    for ours, theirs in zip(model(images), plain(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_head_on_top_trains_alone():
    model = nn.ModuleDict(dict(backbone=frozen(VIT), head=nn.Conv2d(16, 3, 1))).train()
    model.head(model.backbone(torch.randn(2, 3, 32, 32))[1]).sum().backward()
    with_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == {'head.weight', 'head.bias'}


def test_file_of_the_inner_config_is_loaded(tmp_path):
    source = MODELS.build(VIT)
    path = tmp_path / 'vit.pth'
    torch.save(dict(state_dict=source.state_dict()), path)
    model = frozen(dict(VIT, init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    model.init_weights()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, source.state_dict()[name])
    assert model.backbone.init_cfg['checkpoint'] == str(path)
    assert not any(p.requires_grad for p in model.parameters())


def test_types_without_prefix_are_the_running_toolboxs():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = frozen(dict(VIT, type='VisionTransformer'))
    assert type(model.backbone).__module__.startswith('mmpretrain.')


def test_unknown_backbone():
    with pytest.raises(KeyError, match='NoSuchNetwork'):
        frozen(dict(type='mmpretrain.NoSuchNetwork'))
