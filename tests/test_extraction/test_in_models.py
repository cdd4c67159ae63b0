"""Extracted networks inside whole detectors and segmentors, by the recipes: the elastic network's maps."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

from poa_mm.engine.hooks.backbone_check import check_backbone
from poa_mm.engine.start_file import find_pretrained
from poa_mm.extraction import export_subnet
from poa_mm.registry import MODELS

# isort: split
import mmdet.models  # noqa: F401 (after poa_mm, which brings mmcv's operators)
import mmseg.models  # noqa: F401

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# Spaces with a named member and one that is bigger.
SPACES = {
    'S': dict(type='ElasticVisionTransformer', widths=(384, 448, 64), depths=(12, 13)),
    'T': dict(type='ElasticSwinTransformer', widths=(96, 112, 16), depths=(6, 7)),
    'R50': dict(type='ElasticResNet', widths=(64, 96, 32), depths=((3, 3), (4, 4), (6, 7), (3, 3))),
}
RECIPES = {'S': ('vits', 'upernet', 'linear'), 'T': ('swint', 'upernet'), 'R50': ('r50', 'upernet')}


def build(path, toolbox, checkpoint):
    cfg = Config.fromfile(path).model
    outer = cfg.backbone
    inner = outer.get('backbone', outer)
    inner.init_cfg.checkpoint = str(checkpoint)
    if 'img_size' in inner:
        inner.img_size = 224  # the positions as they were learned
    with DefaultScope.overwrite_default_scope(toolbox):
        model = ROOT.build(cfg)
        backbone, init_cfg = find_pretrained(model)
        check_backbone(backbone, init_cfg)
        backbone.init_weights()
    model.eval()
    return model


@pytest.mark.parametrize('name', SPACES)
@torch.no_grad()
def test_same_maps(name, elastic_maps, tmp_path):
    torch.manual_seed(0)
    elastic = MODELS.build(SPACES[name]).eval()
    images = torch.randn(1, 3, 96, 160)
    expected = elastic_maps(elastic, images, name)
    size, *heads = RECIPES[name]
    recipes = [('mmdet', f'coco/mask_rcnn_{size}_1x.py')]
    recipes += [('mmseg', f'ade20k/{head}_{size}_160k.py') for head in heads]
    for toolbox, recipe in recipes:
        path = export_subnet(elastic, name, tmp_path / toolbox, {}, toolbox)
        maps = build(CONFIGS / recipe, toolbox, path).backbone(images)
        for got, wanted in zip(maps, expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
