"""Every family and size in transformers itself."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoBackbone, AutoImageProcessor, AutoModel

from poa_mm.errors import UserError
from poa_mm.extraction.export import extract_network
from poa_mm.extraction.targets import write_target
from tests.helpers.cells import CELLS, NETWORKS, SIDE, SOURCE
from tests.helpers.networks import VIT_REGISTERS

CLOSE = dict(rtol=1e-5, atol=1e-5)
VITS = [cell for cell in CELLS if cell[0] == 'vit']
SWINS = [cell for cell in CELLS if cell[0] == 'swin']


def opened(kind, folder, unexpected='-', **arguments):
    """The network; it must load every weight of the file but those of ``unexpected``, and miss none."""
    network, report = kind.from_pretrained(str(folder), output_loading_info=True, **arguments)
    assert not report['missing_keys'] and not report['mismatched_keys'] and not report.get('error_msgs')
    assert all(key.startswith(unexpected) for key in report['unexpected_keys'])
    return network.eval()


@pytest.mark.parametrize('family, size', VITS)
@torch.no_grad()
def test_vit(export, images, family, size):
    done = export(family, size, 'transformers')
    network = opened(AutoModel, done.folder)
    for side in (32, 48):  # it resizes positions as mmpretrain does
        output = network(images(side))
        expected, patches = done.backbone([images(side)], subnet=done.subnet)[0]
        torch.testing.assert_close(output.pooler_output, expected, **CLOSE)
        torch.testing.assert_close(output.last_hidden_state[:, 1:], patches, **CLOSE)
    assert sum(p.numel() for p in network.parameters()) == done.network.num_params

    depth = done.subnet.depth
    backbone = opened(AutoBackbone, done.folder, out_indices=[1, depth])
    maps = backbone(images(32)).feature_maps
    torch.testing.assert_close(
        maps[-1].flatten(2).transpose(1, 2), done.backbone.patch_features(images(32), done.subnet), **CLOSE
    )
    assert len(maps) == 2


@pytest.mark.parametrize('family, size', SWINS)
@torch.no_grad()
def test_swin(export, images, elastic_maps, family, size):
    done = export(family, size, 'transformers')
    backbone = opened(AutoBackbone, done.folder, unexpected='layernorm.')
    for side in (32, 40):  # maps that are one window, and maps that are padded
        maps = backbone(images(side)).feature_maps
        for got, wanted in zip(maps, elastic_maps(done.backbone, images(side), done.subnet), strict=True):
            torch.testing.assert_close(got, wanted, **CLOSE)


@pytest.mark.parametrize('family, size', SWINS)
@torch.no_grad()
def test_swin_as_model(export, images, family, size):
    done = export(family, size, 'transformers', image_size=64)
    network = opened(AutoModel, done.folder, unexpected='hidden_states_norms.')
    torch.testing.assert_close(
        network(images(64)).pooler_output, done.backbone.image_features(images(64), done.subnet), **CLOSE
    )


@torch.no_grad()
def test_swin_as_model_does_not_shift_one_window(export, images):
    """What the card warns of."""
    done = export('swin', 'intact', 'transformers')
    network = opened(AutoModel, done.folder, unexpected='hidden_states_norms.')
    expected = done.backbone.image_features(images(32))
    assert (network(images(32)).pooler_output - expected).abs().max() > 1e-3
    assert 'AutoBackbone' in (done.folder / 'README.md').read_text()


@torch.no_grad()
def test_without_layer_scale(random_backbone, images, tmp_path):

    backbone = random_backbone({**NETWORKS['vit'], 'layer_scale_init_value': 0})
    folder = write_target(extract_network(backbone, '24x4', {}), tmp_path, 'transformers')
    network = opened(AutoModel, folder)
    torch.testing.assert_close(network(images(32)).pooler_output, backbone.image_features(images(32), '24x4'), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize('changes', [{}, dict(ffn='mlp'), dict(num_registers=0)])
def test_options_of_dinov2(random_backbone, images, tmp_path, changes):
    """Registers, SwiGLU and the epsilon of the norms."""
    backbone, x = random_backbone({**VIT_REGISTERS, **changes}), images(28)
    folder = write_target(extract_network(backbone, '24x3', {}), tmp_path, 'transformers')
    tokens = opened(AutoModel, folder)(x).last_hidden_state
    ((features, patches),) = backbone([x], subnet='24x3')
    torch.testing.assert_close(tokens[:, 0], features, **CLOSE)
    torch.testing.assert_close(tokens[:, 1 + backbone.num_registers :], patches, **CLOSE)


@pytest.mark.parametrize('family', ['vit', 'swin'])
def test_processor(export, family):
    done = export(family, 'smallest', 'transformers')
    processor = AutoImageProcessor.from_pretrained(str(done.folder))
    side = SIDE[family]
    assert processor.size['shortest_edge'] == round(side * 8 / 7)
    assert (processor.crop_size['height'], processor.crop_size['width']) == (side, side)
    image = Image.fromarray(np.full((100, 80, 3), (180, 165, 150), np.uint8))
    pixels = processor(image, return_tensors='pt').pixel_values
    assert pixels.shape == (1, 3, side, side)
    torch.testing.assert_close(pixels[0, :, 0, 0], torch.ones(3))  # one standard deviation above the mean
    assert processor.image_mean == pytest.approx([m / 255 for m in SOURCE['mean']])


def test_resnet_does_not_fit(backbones, tmp_path):
    with pytest.raises(UserError, match='no ResNet with GroupNorm'):
        write_target(extract_network(backbones['resnet'], '32x1-1-1-1', {}), tmp_path / 'out', 'transformers')
    assert not (tmp_path / 'out').exists()


@torch.no_grad()
def test_a_resnet_for_timm_opens_in_transformers(export, images):
    done = export('resnet', '96x1-2-2-1', 'timm')
    network = AutoModel.from_pretrained(str(done.folder)).eval()
    torch.testing.assert_close(
        network(images(64)).pooler_output, done.backbone.image_features(images(64), done.subnet), **CLOSE
    )


def test_weights_that_the_library_does_not_take_are_not_written(backbones, tmp_path, monkeypatch):
    def refuses(folder, config):
        raise RuntimeError('does not take these weights')

    monkeypatch.setattr('poa_mm.extraction.targets.to_transformers._check_loads', refuses)
    with pytest.raises(RuntimeError, match='does not take these weights'):
        write_target(extract_network(backbones['vit'], 'smallest', SOURCE), tmp_path / 'out', 'transformers')
    assert not list((tmp_path / 'out').iterdir())
