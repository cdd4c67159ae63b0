"""Every family and size in timm itself."""

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.layers import resample_abs_pos_embed

from poa_mm.errors import UserError
from poa_mm.extraction.export import extract_network
from poa_mm.extraction.targets import write_target
from tests.helpers.cells import CELLS, NETWORKS, SIDE, SOURCE
from tests.helpers.networks import RESNET, VIT_REGISTERS

CLOSE = dict(rtol=1e-5, atol=1e-5)


def opened(folder, **arguments):
    return timm.create_model(f'local-dir:{folder}', pretrained=True, **arguments).eval()


@pytest.mark.parametrize('family, size', CELLS)
@torch.no_grad()
def test_same_feature(export, images, family, size):
    done = export(family, size, 'timm')
    network = opened(done.folder)
    x = images(SIDE[family])
    torch.testing.assert_close(network(x), done.backbone.image_features(x, done.subnet), **CLOSE)
    assert sum(p.numel() for p in network.parameters()) == done.network.num_params - unused_norms(done)
    assert network.num_features == done.network.feature_dims


def unused_norms(done):
    """timm's Swin has no norms for the maps before the last."""
    return sum(v.numel() for k, v in done.network.weights.items() if k.startswith('norm0'))


@pytest.mark.parametrize('family, size', CELLS)
@torch.no_grad()
def test_same_maps(export, images, elastic_maps, family, size):
    """``features_only`` and ``forward_intermediates``: the maps of blocks or stages, not normed."""
    done = export(family, size, 'timm')
    x = images(SIDE[family])
    if family == 'vit':
        depth = done.subnet.depth
        indices = [depth // 3 - 1, depth // 2 - 1, max(depth * 8 // 12, depth // 2 + 1) - 1, depth - 1]
        expected = elastic_maps(done.backbone, x, done.subnet)
        maps = opened(done.folder, features_only=True, out_indices=indices)(x)
    elif family == 'swin':
        indices = None
        stages = done.backbone._run_stages([done.backbone._embed(x, None, done.subnet.width)], done.subnet)
        expected = [tokens.view(*sizes[0], -1).permute(0, 3, 1, 2) for tokens, sizes in stages]
        maps = [m.permute(0, 3, 1, 2) for m in opened(done.folder, features_only=True)(x)]
    else:
        indices = [1, 2, 3, 4]  # 0 is the stem
        expected = elastic_maps(done.backbone, x, done.subnet)
        maps = opened(done.folder, features_only=True, out_indices=indices)(x)
    final, between = opened(done.folder).forward_intermediates(x, indices=indices)
    for got, other, wanted in zip(maps, between, expected, strict=True):
        torch.testing.assert_close(got, wanted, **CLOSE)
        torch.testing.assert_close(other, wanted, **CLOSE)


@pytest.mark.parametrize('family, side', [('vit', 48), ('swin', 64), ('resnet', 96)])
@torch.no_grad()
def test_another_size_of_the_export(export, images, family, side):
    done = export(family, 'intact', 'timm', image_size=side)
    network = opened(done.folder)
    torch.testing.assert_close(network(images(side)), done.backbone.image_features(images(side)), **CLOSE)
    assert tuple(timm.data.resolve_data_config(model=network)['input_size']) == (3, side, side)


@pytest.mark.parametrize('family, side', [('swin', 64), ('resnet', 96)])
@torch.no_grad()
def test_another_size_of_the_images(export, images, family, side):
    done = export(family, 'intact', 'timm')
    torch.testing.assert_close(opened(done.folder)(images(side)), done.backbone.image_features(images(side)), **CLOSE)


@torch.no_grad()
def test_positions_are_resized_by_timm(export, images, random_backbone):
    """timm smooths positions when it resizes them; with its positions our network computes the same."""
    done = export('vit', 'intact', 'timm')
    ours = random_backbone({**NETWORKS['vit'], 'img_size': 48})
    weights = done.backbone.state_dict()
    weights['pos_embed'] = resample_abs_pos_embed(weights['pos_embed'], [6, 6])
    ours.load_state_dict(weights)
    torch.testing.assert_close(opened(done.folder)(images(48)), ours.image_features(images(48)), **CLOSE)


@torch.no_grad()
def test_without_layer_scale(random_backbone, images, tmp_path):

    backbone = random_backbone({**NETWORKS['vit'], 'layer_scale_init_value': 0})
    folder = write_target(extract_network(backbone, '24x4', {}), tmp_path, 'timm')
    torch.testing.assert_close(opened(folder)(images(32)), backbone.image_features(images(32), '24x4'), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize('ffn', ['mlp', 'swiglu'])
def test_registers_and_swiglu(random_backbone, images, tmp_path, ffn):
    backbone = random_backbone({**VIT_REGISTERS, 'ffn': ffn, 'ln_eps': 1e-6})
    folder = write_target(extract_network(backbone, '24x3', {}), tmp_path, 'timm')
    network, x = opened(folder), images(28)
    ((features, patches),) = backbone([x], subnet='24x3')
    torch.testing.assert_close(network(x), features, **CLOSE)
    torch.testing.assert_close(network.forward_features(x)[:, 1 + 3 :], patches, **CLOSE)


def test_preprocessing(export):
    done = export('swin', 'smallest', 'timm')
    config = timm.data.resolve_data_config(model=opened(done.folder))
    assert config['mean'] == pytest.approx([m / 255 for m in SOURCE['mean']])
    assert (config['crop_pct'], config['interpolation'], config['crop_mode']) == (0.875, 'bicubic', 'center')
    image = Image.fromarray(np.full((100, 80, 3), (180, 165, 150), np.uint8))
    pixels = timm.data.create_transform(**config)(image)
    assert pixels.shape == (3, 32, 32)
    torch.testing.assert_close(pixels[:, 0, 0], torch.ones(3))  # one standard deviation above the mean
    assert json.loads((done.folder / 'config.json').read_text())['architecture'] == 'swin_tiny_patch4_window7_224'


def test_what_does_not_fit(export, random_backbone, tmp_path):

    with pytest.raises(UserError, match='the image size must be a multiple of 32, got 48'):
        export('swin', 'smallest', 'timm', image_size=48)
    network = extract_network(random_backbone(RESNET), 'intact', {})
    with pytest.raises(UserError, match='32 groups and 64 channels in its stem, this network has 4 and 8'):
        write_target(network, tmp_path / 'out', 'timm')
    network = extract_network(random_backbone(VIT_REGISTERS), 'intact', {})
    with pytest.raises(UserError, match='with an epsilon of 1e-6, this network'):
        write_target(network, tmp_path / 'out', 'timm')
    assert not (tmp_path / 'out').exists()
