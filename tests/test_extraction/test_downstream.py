"""What downstream configs get of an extracted network, from its file or from its recipe alone."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

from poa_mm.config import load_config
from poa_mm.errors import UserError
from poa_mm.extraction import build_backbone, config_inputs, export_subnet, fill_in, find_network

CONFIGS = Path(__file__).parents[2] / 'configs'
RECIPES = ('poa_vit_small', 'poa_swin_small', 'poa_resnet_small')
MODEL = dict(
    data_preprocessor=dict(mean='$mean', std='$std'),
    backbone=dict(type='$backbone', with_cp=False),
    neck=dict(in_channels='$channels'),
    head=[dict(in_channels='$channels[0]'), dict(in_channels='$sum(channels)'), dict(in_channels='$feature_dims')],
)


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_placeholders_become_values(in_tmp):
    filled = fill_in(MODEL, 'poa_swin_small', '32x3', 'mmdet', drop_path_rate=0.1)
    assert filled['data_preprocessor'] == dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    assert filled['neck'] == dict(in_channels=[32, 64, 128])
    assert [head['in_channels'] for head in filled['head']] == [32, 224, 128]
    backbone = filled['backbone']
    assert (backbone['type'], backbone['depths'], backbone['num_heads']) == (
        'mmdet.SwinTransformer',
        [1, 1, 3],
        [4, 8, 16],
    )
    assert (backbone['drop_path_rate'], backbone['with_cp']) == (0.1, False)
    assert backbone['init_cfg'] == dict(type='Pretrained', checkpoint='subnets/mmdet/32x3.pth')


@pytest.mark.parametrize('toolbox', ['mmpretrain', 'mmdet', 'mmseg'])
@pytest.mark.parametrize('recipe', RECIPES)
def test_the_file_says_what_the_recipe_says(recipe, toolbox, in_tmp):
    cfg = Config.fromfile(CONFIGS / f'{recipe}.py')
    backbone = build_backbone(cfg)
    described, file = find_network(recipe, 'intact', toolbox)
    filled = fill_in(MODEL, recipe, 'intact', toolbox)
    path = export_subnet(backbone, 'intact', Path(file).parent, config_inputs(cfg), toolbox)
    assert str(path) == file
    found, _ = find_network(recipe, 'intact', toolbox)
    assert found.weights and found.meta == described.meta
    assert fill_in(MODEL, recipe, 'intact', toolbox) == filled


@pytest.mark.parametrize('toolbox, detector', [
    ('mmdet', 'coco/_base_/mask_rcnn_small.py'), ('mmseg', 'ade20k/_base_/upernet_small.py'),
])  # fmt: skip
@pytest.mark.parametrize('recipe', RECIPES)
def test_every_member_of_every_small_space(recipe, toolbox, detector, in_tmp, swin_on_meta):
    """Each sub-network fills in, builds strictly as extracted, and its maps go through neck and heads."""
    if 'vit' in recipe:
        detector = detector.replace('_small.py', '_vit_small.py')
    base = Config.fromfile(CONFIGS / detector).model
    with torch.device('meta'):
        elastic = build_backbone(Config.fromfile(CONFIGS / f'{recipe}.py'))
    for subnet in elastic.space:
        filled = fill_in(base, recipe, str(subnet), toolbox)
        assert '$' not in str(filled)
        checkpoint = filled['backbone'].pop('init_cfg')['checkpoint']
        with torch.device('meta'), DefaultScope.overwrite_default_scope(toolbox):
            model = ROOT.build(Config(filled)._cfg_dict).eval()
            extracted = {name: value.shape for name, value in elastic.extract(subnet).items()}
            images = torch.zeros(2, 3, 96, 96)
        for name, parameter in model.backbone.named_parameters():
            assert name == 'pos_embed' or extracted[name] == parameter.shape
        with torch.no_grad():
            maps = model.extract_feat(images)
            outputs = model.rpn_head(maps) if toolbox == 'mmdet' else [model.decode_head(maps)]
        assert len(outputs) and checkpoint == f'subnets/{toolbox}/{subnet}.pth'


def test_from_any_folder_and_plain_when_dumped(in_tmp):
    leaf = os.path.relpath(CONFIGS / 'coco' / 'mask_rcnn_vits_1x.py')
    cfg = Config.fromfile(leaf)
    assert cfg.model.backbone.arch.embed_dims == 384 and 'fill_in' not in cfg and cfg.subnet == 'S'
    cfg.dump('plain.py')
    text = Path('plain.py').read_text()
    assert 'fill_in' not in text and 'import' not in text.replace('custom_imports', '').replace('imports=', '')
    assert Config.fromfile('plain.py').to_dict() == cfg.to_dict()
    assert load_config('plain.py', {}, None, 'none').model == cfg.model
    larger = load_config(leaf, dict(subnet='576x15'), None, 'none').model
    assert larger.backbone.arch.num_layers == 15 and larger.neck[1].in_channels == [576] * 4


def test_mistakes(in_tmp):
    for model, message in (
        (dict(neck='$channel'), r"unknown placeholder '\$channel': there are .*\$channels"),
        (dict(neck='$channels[7]'), r"'\$channels\[7\]': the network has 4 maps"),
        (dict(backbone='$backbone'), r"'\$backbone' must be the type of a dict"),
    ):
        with pytest.raises(UserError, match=message):
            fill_in(model, 'poa_vit_small', '96x4', 'mmdet')
    with pytest.raises(UserError, match=r"config 'poa_vitt' does not exist.*poa_vitl"):
        fill_in(MODEL, 'poa_vitt', 'S', 'mmdet')
    with pytest.raises(UserError, match='allowed are widths 96'):
        fill_in(MODEL, 'poa_vit_small', 'S', 'mmdet')


def test_a_size_of_another_space_is_described_by_its_file(in_tmp):
    cfg = Config.fromfile(CONFIGS / 'poa_vit_small.py')
    cfg.model.backbone.update(widths=[64], depths=[3, 5])
    path = export_subnet(build_backbone(cfg), '64x5', 'subnets/mmseg', config_inputs(cfg), 'mmseg')
    filled = fill_in(MODEL, 'poa_vit_small', '64x5', 'mmseg')
    assert filled['neck'] == dict(in_channels=[64] * 4) and filled['backbone']['arch']['num_layers'] == 5
    assert filled['backbone']['init_cfg']['checkpoint'] == str(path)
    with pytest.raises(UserError, match='sub-network 64x3 is not in this space'):
        fill_in(MODEL, 'poa_vit_small', '64x3', 'mmseg')
    with pytest.raises(UserError, match='has the family ElasticVisionTransformer'):
        fill_in(MODEL, 'poa_swin_small', '64x5', 'mmseg')


def test_a_file_of_another_network_is_refused(in_tmp):
    vit, swin = (build_backbone(Config.fromfile(CONFIGS / f'{name}.py')) for name in RECIPES[:2])
    for backbone, subnet, toolbox, message in (
        (swin, '24x2', 'mmdet', 'has the family ElasticSwinTransformer'),
        (vit, '96x5', 'mmdet', 'has the sub-network 96x5'),
        (vit, '96x4', 'mmseg', 'has the format mmseg'),
    ):
        file = str(export_subnet(backbone, subnet, in_tmp, {}, toolbox))
        with pytest.raises(UserError, match=message):
            fill_in(MODEL, 'poa_vit_small', '96x4', 'mmdet', file)
