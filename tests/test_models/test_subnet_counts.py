"""The table in docs/subnets.md."""

import re
from pathlib import Path

import torch

from poa_mm.registry import MODELS

PAGE = Path(__file__).parents[2] / 'docs' / 'subnets.md'


def test_documented_parameter_counts():
    rows = re.findall(r'^\| (?:ViT-|Swin-)?(\S+) \| (\d+x\S+) \| (\d+) \| ([\d,]+) \|$', PAGE.read_text(), re.M)
    assert len(rows) == 10
    printed = []
    for family in ['ElasticVisionTransformer', 'ElasticSwinTransformer', 'ElasticResNet']:
        with torch.device('meta'):
            backbone = MODELS.build(dict(type=family))
        for subnet in backbone.space.select(['smallest', 'named', 'intact']):
            count = sum(w.numel() for w in backbone.extract(subnet).values() if w.is_floating_point())
            size = str(backbone.feature_dims(subnet))
            printed.append((backbone.space.name(subnet), str(subnet), size, f'{count:,}'))
    assert rows == printed
