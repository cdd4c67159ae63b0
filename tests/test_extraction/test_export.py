"""Extracted networks: they load into mmpretrain with no code of ours and compute the same."""

import shutil

import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

from poa_mm.extraction import count_params, export_subnet, load_pretrained


def build(config):
    network = MMPRETRAIN_MODELS.build(config)
    network.eval()  # mmpretrain's eval() returns nothing
    return network


@pytest.fixture
def pretrained(checkpoint):
    return load_pretrained(checkpoint)


@pytest.mark.parametrize('subnet', ['16x2', '24x3', 'intact'])
def test_loads_into_mmpretrain(pretrained, subnet, tmp_path):
    backbone, meta = pretrained
    path = export_subnet(backbone, subnet, tmp_path / 'out', meta)
    saved = torch.load(path, weights_only=True)  # plain types only
    classifier = mmpretrain.models.ImageClassifier(backbone=saved['meta']['config'])
    classifier.load_state_dict(saved['state_dict'], strict=True)
    classifier.eval()
    static = classifier.backbone
    assert type(static) is mmpretrain.models.VisionTransformer
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(static(images)[0], backbone.image_features(images, subnet), rtol=0, atol=1e-5)
    assert saved['meta']['num_params'] == sum(p.numel() for p in static.parameters())
    assert count_params(backbone, subnet) == saved['meta']['num_params']

    again = mmpretrain.models.ImageClassifier(backbone=saved['meta']['config'])
    load_checkpoint(again, str(path), strict=True)
    again.eval()
    assert torch.equal(again.extract_feat(images)[0], static(images)[0])


def test_snippet_is_a_config_and_can_be_moved(pretrained, tmp_path):
    backbone, meta = pretrained
    path = export_subnet(backbone, '24x3', tmp_path / 'out', meta)
    assert path.name == '24x3.pth'
    shutil.move(tmp_path / 'out', tmp_path / 'moved')
    (tmp_path / 'user.py').write_text("_base_ = 'moved/24x3.py'\nmodel = dict(backbone=_base_.backbone)\n")
    cfg = Config.fromfile(tmp_path / 'user.py')
    static = build(cfg.model.backbone)
    static.init_weights()
    images = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(static(images)[0], backbone.image_features(images, '24x3'), rtol=0, atol=1e-5)


def test_says_where_it_came_from(pretrained, tmp_path):
    backbone, meta = pretrained
    path = export_subnet(backbone, '16x2', tmp_path, meta)
    saved = torch.load(path, weights_only=True)['meta']
    assert (saved['subnet'], saved['iteration'], saved['branch'], saved['seed']) == ('16x2', 12, 'teacher', 3)
    assert saved['checkpoint'].endswith('iter_12.pth')
    assert 'iteration 12' in path.with_suffix('.py').read_text()
    assert 'mask_token' not in torch.load(path, weights_only=True)['state_dict']


def test_unknown_subnet_writes_nothing(pretrained, tmp_path):
    backbone, meta = pretrained
    with pytest.raises(ValueError, match='20x2 is not in this space; allowed are widths 16, 24, 32; depths'):
        export_subnet(backbone, '20x2', tmp_path / 'out', meta)
    assert not (tmp_path / 'out').exists()
