"""Parameters and operations of every network, against MMEngine's count on the extracted networks."""

import pytest
import torch
from mmengine.analysis import get_model_complexity_info

from poa_mm.config import load_config
from poa_mm.extraction import build_backbone
from poa_mm.extraction.complexity import network_complexity, space_complexity
from poa_mm.registry import MODELS

SMALL = {
    'ElasticVisionTransformer': dict(img_size=32, patch_size=8, widths=(16, 32, 8), depths=(2, 5), head_dim=8),
    'ElasticSwinTransformer': dict(
        img_size=32, patch_size=2, window_size=4, widths=(16, 32, 16), depths=(2, 4), head_dim=8
    ),
    'ElasticResNet': dict(widths=(8, 16, 8), depths=((1, 1), (2, 3), (1, 3), (1, 1)), stem_channels=16, num_groups=4),
}


def attention_products(config: dict, image_size: int) -> int:
    """``q k^T`` and the product with ``v``, which MMEngine does not count in PyTorch's fused kernel."""
    if not config['type'].endswith('VisionTransformer'):
        return 0
    tokens = (image_size // config['patch_size']) ** 2 + 1
    return config['arch']['num_layers'] * 2 * tokens**2 * config['arch']['embed_dims']


@pytest.mark.parametrize('family', SMALL)
def test_every_member_equals_mmengines_count(family):
    backbone = MODELS.build(dict(type=f'poa_mm.{family}', **SMALL[family]))
    costs = space_complexity(backbone, 32)
    assert list(costs) == list(backbone.space)
    for subnet, cost in costs.items():
        config = backbone.static_config(subnet)
        network = MODELS.build({'_scope_': 'poa_mm', **config})
        network.eval()
        info = get_model_complexity_info(network, (3, 32, 32), show_table=False, show_arch=False)
        assert cost.params == info['params'] == sum(p.numel() for p in network.parameters())
        assert cost.macs == info['flops'] + attention_products(config, 32), subnet


@pytest.mark.parametrize(
    ('recipe', 'members', 'known'),
    [
        # timm's counts without the classifier; LayerScale and the output norms of a Swin add up to 0.1 %.
        ('poa_vitl', 143, ('S', 22_050_664 - 385_000)),
        ('poa_swinb', 39, ('T', 28_288_354 - 769_000)),
        ('poa_resnet152', 465, ('R50', 25_557_032 - 2_049_000)),
    ],
)
def test_full_spaces(recipe, members, known):
    with torch.device('meta'):
        backbone = build_backbone(load_config(f'configs/{recipe}.py', {}, None, 'none'))
    costs = space_complexity(backbone, 64)
    assert len(costs) == members
    assert costs[backbone.space.parse(known[0])].params == pytest.approx(known[1], rel=1e-3)
    middle = list(backbone.space)[members // 2]
    assert costs[middle] == network_complexity(backbone, middle, 64)
