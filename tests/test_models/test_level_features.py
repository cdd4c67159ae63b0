"""Features from inside a sub-network are those of the ordinary network that it becomes."""

import pytest
import torch
from mmengine.registry import MODELS

from tests.helpers.networks import RESNET, SWIN, VIT

SMALL = {
    'vit': ({**VIT, 'img_size': 32, 'depths': (2, 8)}, '24x7'),
    'swin': (SWIN, '24x3'),
    'resnet': (RESNET, '12x1-2-2-2'),
}


@pytest.mark.parametrize('family', SMALL)
def test_levels(family, random_backbone):
    config, subnet = SMALL[family]
    backbone = random_backbone(config)
    static_cfg = backbone.static_config(subnet)
    if family == 'vit':  # round(7 i / 4) = 2, 4 (3.5 to the even number), 5, and the last
        static_cfg = dict(static_cfg, out_indices=[2, 4, 5, 6], out_type='raw')
    static = MODELS.build(static_cfg)
    static.eval()  # mmpretrain's gives None
    static.load_state_dict(backbone.extract(subnet))
    images = torch.randn(2, 3, backbone.img_size if family == 'vit' else 64, 64 if family != 'vit' else 32)
    with torch.no_grad():
        levels, patch = backbone.level_features(images, subnet)
        maps = static(images)
        if family == 'vit':
            expected = [static.ln1(x)[:, 0] for x in maps[:3]] + [maps[3][:, 0]]
            torch.testing.assert_close(patch, maps[3][:, 1:].mean(1), rtol=1e-4, atol=1e-4)
        else:
            expected = [x.mean((2, 3)) for x in maps]
            assert patch is None
        torch.testing.assert_close(levels[-1], backbone.image_features(images, subnet))
    assert len(levels) == 4
    for level, reference in zip(levels, expected, strict=True):
        torch.testing.assert_close(level, reference, rtol=1e-4, atol=1e-4)


def test_published_depths(random_backbone):
    """12 blocks: 3, 6, 9, 11; 2 blocks: what there is."""
    for depth, blocks in ((12, [3, 6, 9, 11]), (24, [6, 12, 18, 23]), (2, [0, 1, 1, 1])):
        backbone = random_backbone({**SMALL['vit'][0], 'widths': (8, 8), 'depths': (depth, depth)})
        seen = []
        for layer in backbone.layers:
            layer.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(output))
        with torch.no_grad():
            levels, _ = backbone.level_features(torch.randn(1, 3, 32, 32))
            for level, block in zip(levels, blocks, strict=True):
                torch.testing.assert_close(level, backbone.ln1(seen[block])[:1])
