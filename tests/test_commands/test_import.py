"""The command line ``poa import``."""

import shlex

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.models import VisionTransformer

from poa_mm.commands import main
from poa_mm.extraction import open_network
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

CONFIG = f"""
model = dict(
    type='POA',
    backbone={VIT},
    head=dict(type='MultiPrototypeHead', num_prototypes=(6, 8), hidden_dims=16, bottleneck_dims=8),
)
"""


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(0)
    arch = dict(embed_dims=32, num_layers=4, num_heads=4, feedforward_channels=128)
    network = VisionTransformer(arch, 16, 8, layer_scale_init_value=0.1)
    torch.save(network.state_dict(), tmp_path / 'vit.pth')
    (tmp_path / 'config.py').write_text(CONFIG)
    network.eval()
    return network


def run(tmp_path, *arguments):
    source, *options = map(str, arguments)
    main(['import', source, str(tmp_path / 'config.py'), '--out', str(tmp_path / 'out/start.pth'), *options])


@torch.no_grad()
def test_checkpoint_is_a_start_of_pre_training(source, tmp_path, capsys):
    run(tmp_path, tmp_path / 'vit.pth')
    assert 'no prototype heads' in capsys.readouterr().out
    start = tmp_path / 'out/start.pth'
    opened = open_network(start)
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(opened.backbone.image_features(images), source(images)[0], rtol=0, atol=1e-5)
    assert opened.source['branch'] == 'teacher' and len(opened.backbone.space) == 9

    model = MODELS.build({'_scope_': 'poa_mm', **opened.cfg.model})
    left = model.load_state_dict(torch.load(start, weights_only=True)['state_dict'], strict=False)
    assert not left.unexpected_keys and all('head.' in name for name in left.missing_keys)
    for backbone in (model.backbone, model.teacher.backbone):
        assert torch.equal(backbone.layers[3].attn.proj.weight, source.layers[3].attn.proj.weight)


def test_own_checkpoint_keeps_its_heads(source, tmp_path, capsys):
    run(tmp_path, tmp_path / 'vit.pth')
    start = torch.load(tmp_path / 'out/start.pth', weights_only=True)
    head = MODELS.build(
        dict(type='poa_mm.MultiPrototypeHead', embed_dims=32, num_prototypes=(6, 8), hidden_dims=16, bottleneck_dims=8)
    )
    start['state_dict'].update({f'teacher.head.{name}': value for name, value in head.state_dict().items()})
    start['state_dict'].update({f'head.{name}': value + 1 for name, value in head.state_dict().items()})
    torch.save(start, tmp_path / 'pretrained.pth')
    for branch, added in (('teacher', 0), ('student', 1)):
        run(tmp_path, tmp_path / 'pretrained.pth', '--branch', branch)
        imported = torch.load(tmp_path / 'out/start.pth', weights_only=True)['state_dict']
        for prefix in ('head.', 'teacher.head.'):
            for name, value in head.state_dict().items():
                assert torch.equal(imported[prefix + name], value + added)
    assert 'prototype heads' not in capsys.readouterr().out.splitlines()[-1]


def test_the_command_repeats_the_options(source, tmp_path, capsys):
    run(tmp_path, tmp_path / 'vit.pth', '--cfg-options', 'model.backbone.widths=(16, 32, 16)', 'randomness.seed=007')
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    options = ['model.backbone.widths=(16, 32, 16)', 'randomness.seed=007', f'load_from={tmp_path}/out/start.pth']
    assert words == ['poa', 'train', str(tmp_path / 'config.py'), '--cfg-options', *options]


def test_errors_are_one_line(source, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, tmp_path / 'vit.pth', '--cfg-options', 'model.backbone.depths=(2,5)')
    assert stopped.value.code == 2
    assert 'number of blocks is 4 in the file, 5 in the config' in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / 'out/start.pth').exists()


@pytest.mark.parametrize('by', ['magnitude', 'firstorder'])
def test_reorder(source, tmp_path, capsys, by):
    for i in range(5):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.random.default_rng(i).integers(0, 255, (24, 20, 3), dtype=np.uint8))
    run(tmp_path, tmp_path / 'vit.pth', '--reorder', by, *(['--images', tmp_path] if by == 'firstorder' else []))
    assert capsys.readouterr().out.count('| layers.') == 4
    backbone = open_network(tmp_path / 'out/start.pth').backbone
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        features, expected = backbone.image_features(images), source(images)[0]
    torch.testing.assert_close(features.sort(1).values, expected.sort(1).values, rtol=0, atol=1e-5)
    torch.testing.assert_close(features @ features.T, expected @ expected.T, rtol=0, atol=1e-4)
    assert not torch.allclose(features, expected, atol=1e-2)


def test_images_without_first_order(source, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, tmp_path / 'vit.pth', '--reorder', 'firstorder')
    assert '--reorder firstorder needs --images DIR' in capsys.readouterr().err
