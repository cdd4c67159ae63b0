"""Extracted networks in mmdet's own backbones."""

import pytest
import torch
from mmdet.models.backbones import ResNet, SwinTransformer

from poa_mm.models import ElasticResNet, ElasticSwinTransformer


@pytest.fixture(scope='module')
def elastic():
    torch.manual_seed(0)
    return dict(swin=ElasticSwinTransformer().eval(), resnet=ElasticResNet().eval())


@pytest.mark.parametrize('name', ['T', 'S', 'B', 'R50', 'R101', 'R152'])
@torch.no_grad()
def test_mmdet_loads_them_strictly(elastic, name):
    if name.startswith('R'):
        backbone, static = elastic['resnet'], ResNet(int(name[1:]), norm_cfg=dict(type='GN', num_groups=32))
    else:
        backbone = elastic['swin']
        static = SwinTransformer(**backbone.static_config(name)['arch'])
    static.load_state_dict(backbone.extract(name), strict=True)
    images = torch.randn(1, 3, 64, 100)
    static.eval()  # which mmdet does not let return the network
    maps = static(images)
    assert len(maps) == 4
    torch.testing.assert_close(maps[-1].mean((2, 3)), backbone.image_features(images, name), rtol=1e-5, atol=1e-5)
