import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from torch.nn.modules.batchnorm import SyncBatchNorm

from poa_mm.registry import MODELS


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='ViTPyramid', embed_dims=6, **kwargs))


def hand_built(neck, maps):
    """The same with functions of PyTorch, from the neck's weights."""
    w = neck.state_dict()
    up4 = F.conv_transpose2d(maps[0], w['up4.0.weight'], w['up4.0.bias'], stride=2)
    mean, var = up4.mean((0, 2, 3), keepdim=True), up4.var((0, 2, 3), keepdim=True, unbiased=False)
    up4 = (up4 - mean) / (var + 1e-5).sqrt()
    up4 = 0.5 * up4 * (1 + torch.erf(up4 / 2**0.5))
    up4 = F.conv_transpose2d(up4, w['up4.3.weight'], w['up4.3.bias'], stride=2)
    up2 = F.conv_transpose2d(maps[1], w['up2.weight'], w['up2.bias'], stride=2)
    n, d, h, width = maps[3].shape
    down2 = maps[3][:, :, : h // 2 * 2, : width // 2 * 2].reshape(n, d, h // 2, 2, width // 2, 2).amax((3, 5))
    return up4, up2, maps[2], down2


def test_equals_hand_built():
    neck = build()
    maps = [torch.randn(2, 6, 4, 7, requires_grad=True) for _ in range(4)]
    pyramid = neck(maps)
    assert [tuple(m.shape) for m in pyramid] == [(2, 6, 16, 28), (2, 6, 8, 14), (2, 6, 4, 7), (2, 6, 2, 3)]
    for got, expected in zip(pyramid, hand_built(neck, maps)):
        torch.testing.assert_close(got, expected)
    sum(m.square().sum() for m in pyramid).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in [*maps, *neck.parameters()])
    assert neck.up4[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    'norm_cfg, expected', [(dict(type='SyncBN'), SyncBatchNorm), (dict(type='GN', num_groups=3), torch.nn.GroupNorm)]
)
def test_norm_follows_the_config(norm_cfg, expected):
    assert isinstance(build(norm_cfg=norm_cfg).up4[1], expected)


@pytest.mark.parametrize('scope', ['mmseg', 'mmpretrain'])
def test_under_the_scope_of_a_toolbox(scope):
    with DefaultScope.overwrite_default_scope(scope):
        neck = ROOT.build(dict(type='poa_mm.ViTPyramid', embed_dims=6, norm_cfg=dict(type='BN')))
    assert type(neck).__name__ == 'ViTPyramid'


def test_wrong_number_of_maps():
    with pytest.raises(ValueError, match='four maps, got 1'):
        build()([torch.zeros(1, 6, 2, 2)])
