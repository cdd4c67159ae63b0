"""Every family in every toolbox: the file is exactly the network's, and its maps are the elastic network's."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

from poa_mm.engine.hooks.backbone_check import check_backbone
from poa_mm.extraction import FORMATS, count_params, export_subnet
from poa_mm.models.backbones.vit import map_blocks
from poa_mm.registry import MODELS

# isort: split
import mmdet.models  # noqa: F401 (after poa_mm, which brings mmcv's operators)
import mmseg.models  # noqa: F401

from tests.helpers.networks import RESNET, SWIN, VIT

FAMILIES = {
    'vit': {**VIT, 'img_size': 32, 'depths': (4, 7)},
    'swin': {**SWIN, 'stage_depths': (1, 2, None, 2), 'window_size': 3},
    'small swin': {
        **SWIN,
        'img_size': 32,
        'patch_size': 2,
        'stage_depths': (1, 2, None),
        'window_size': 4,
        'mask_stride': 8,
    },
    'resnet': dict(
        type='ElasticResNet',
        widths=(32, 64, 16),
        depths=((3, 3), (4, 4), (5, 6), (3, 3)),
        out_channels=256,
        num_groups=16,
    ),
    'small resnet': {**RESNET, 'depths': ((1, 1), (1, 2), (2, 3))},
}
MM, DET, SEG, OURS = 'mmpretrain', 'mmdet', 'mmseg', 'poa_mm'
# Family and size: the class in each toolbox.
CASES = {
    ('vit', '24x5'): dict.fromkeys((MM, DET, SEG), f'{MM}.VisionTransformer'),
    ('vit', '16x4'): dict.fromkeys((MM, DET, SEG), f'{MM}.VisionTransformer'),
    ('vit', 'intact'): dict.fromkeys((MM, DET, SEG), f'{MM}.VisionTransformer'),
    ('swin', '24x3'): {box: f'{box}.SwinTransformer' for box in (MM, DET, SEG)},
    ('swin', 'intact'): {box: f'{box}.SwinTransformer' for box in (MM, DET, SEG)},
    ('small swin', '16x2'): {box: f'{box}.SwinTransformer' for box in (MM, DET, SEG)},
    ('resnet', '64x3-4-6-3'): {box: f'{box}.ResNet' for box in (MM, DET, SEG)},
    ('resnet', '32x3-4-6-3'): {MM: f'{MM}.ResNet', DET: f'{OURS}.StaticResNet', SEG: f'{OURS}.StaticResNet'},
    ('resnet', '48x3-4-5-3'): dict.fromkeys((MM, DET, SEG), f'{OURS}.StaticResNet'),
    ('small resnet', '12x1-2-2'): dict.fromkeys((MM, DET, SEG), f'{OURS}.StaticResNet'),
}


@pytest.fixture(scope='module')
def families():
    torch.manual_seed(0)
    backbones = {family: MODELS.build(cfg).eval() for family, cfg in FAMILIES.items()}
    for backbone in backbones.values():
        for parameter in backbone.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return backbones


@pytest.mark.parametrize('toolbox', FORMATS)
@pytest.mark.parametrize('family, subnet', CASES)
def test_the_same_network_in_every_toolbox(families, elastic_maps, family, subnet, toolbox, tmp_path):
    backbone = families[family]
    path = export_subnet(backbone, subnet, tmp_path, {}, toolbox)
    cfg = Config.fromfile(path.with_suffix('.py')).backbone
    assert cfg.type == CASES[family, subnet][toolbox]
    with DefaultScope.overwrite_default_scope(toolbox):
        network = ROOT.build(cfg)
    check_backbone(network, cfg.init_cfg)
    network.init_weights()
    network.eval()
    saved = torch.load(path, weights_only=True)
    loaded = network.state_dict()
    prefix = 'backbone.' if toolbox == MM or cfg.type == 'mmdet.SwinTransformer' else ''
    assert {prefix + name for name in loaded} == saved['state_dict'].keys()
    assert all(torch.equal(value, saved['state_dict'][prefix + name]) for name, value in loaded.items())
    params = sum(p.numel() for p in network.parameters())
    assert saved['meta']['num_params'] == count_params(backbone, subnet, toolbox) == params
    assert saved['meta']['format'] == toolbox and f'for {toolbox}\n' in path.with_suffix('.py').read_text()

    images = torch.randn(2, 3, 40, 64)
    with torch.no_grad():
        maps, expected = network(images), elastic_maps(backbone, images, subnet)
        if family == 'vit' and toolbox == 'mmpretrain':
            expected = [backbone.image_features(images, subnet)]
    assert len(maps) == len(expected)
    for got, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_blocks_of_the_maps():
    assert map_blocks(12) == [4, 6, 8, 12] and map_blocks(24) == [8, 12, 16, 24]
    assert map_blocks(15) == [5, 7, 10, 15] and map_blocks(4) == [1, 2, 3, 4]
    for depth in range(4, 25):
        assert len(set(map_blocks(depth))) == 4
    with pytest.raises(ValueError, match='3 blocks'):
        map_blocks(3)


def test_nothing_is_written_for_a_wrong_format(families, tmp_path):
    with pytest.raises(ValueError, match=r"one of \['mmpretrain', 'mmdet', 'mmseg'\], got 'mmpose'"):
        export_subnet(families['vit'], '16x4', tmp_path / 'out', {}, 'mmpose')
    assert not (tmp_path / 'out').exists()
