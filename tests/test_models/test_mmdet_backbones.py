"""Networks of published sizes in mmdet's and mmseg's own backbones."""

import pytest
import torch

from poa_mm.models import ElasticResNet, ElasticSwinTransformer

# isort: split
from mmdet.registry import MODELS as MMDET  # after poa_mm, which brings mmcv's operators
from mmseg.registry import MODELS as MMSEG


@pytest.mark.parametrize('family, names', [(ElasticSwinTransformer, 'TSB'), (ElasticResNet, ['R50', 'R101', 'R152'])])
@torch.no_grad()
def test_own_classes_load_them_strictly(family, names):
    torch.manual_seed(0)
    elastic = family().eval()
    images = torch.randn(1, 3, 64, 100)
    for name in names:
        weights, expected = elastic.extract(name), elastic.image_features(images, name)
        for toolbox, registry in (('mmdet', MMDET), ('mmseg', MMSEG)):
            network = registry.build(elastic.dense_config(name, toolbox))
            assert type(network).__module__.startswith(f'{toolbox}.')
            network.load_state_dict(weights, strict=True)
            network.eval()
            maps = network(images)
            assert len(maps) == 4
            torch.testing.assert_close(maps[-1].mean((2, 3)), expected, rtol=1e-5, atol=1e-5)
