"""``poa_mm.load``: the features of images as they are."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

import poa_mm
from poa_mm.datasets.reading import open_dataset
from poa_mm.errors import UserError
from poa_mm.evaluation.images import EvalImages
from poa_mm.extraction import export_subnet
from tests.helpers.networks import RESNET, SWIN, VIT

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 55.0, 50.0]
SOURCE = dict(mean=MEAN, std=STD, img_size=64)


@pytest.fixture
def photograph():
    """An image in which channels and sides cannot be confused, RGB."""
    return np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8) // np.array([1, 2, 4], np.uint8)


@pytest.mark.parametrize('config, subnet', [(VIT, '24x3'), (SWIN, '24x3'), (RESNET, '12x1-2-2-2')])
def test_feature_of_an_image(random_backbone, photograph, config, subnet, tmp_path):
    elastic = random_backbone(config)
    network = poa_mm.load(export_subnet(elastic, subnet, tmp_path, SOURCE))
    image = Image.fromarray(photograph)
    resized = np.asarray(image.resize((round(73 * 120 / 90), 73), Image.BICUBIC), np.float64)
    top, left = round((73 - 64) / 2), round((resized.shape[1] - 64) / 2)
    crop = (resized[top : top + 64, left : left + 64] - MEAN) / STD
    expected = torch.tensor(crop).permute(2, 0, 1).float()
    torch.testing.assert_close(network.preprocess(image), expected, rtol=0, atol=1.1 / 50)  # one level of rounding

    x = network.preprocess(image)
    with torch.no_grad():
        feature = elastic.image_features(x[None], subnet)
    torch.testing.assert_close(network(image), feature[0], rtol=1e-5, atol=1e-5)
    assert network(image).shape == (network.feature_dims,)
    for batch in (network([image, photograph]), network(torch.stack([x, x]))):
        torch.testing.assert_close(batch, feature.expand(2, -1), rtol=1e-5, atol=1e-5)


def test_same_crop_as_the_protocols(random_backbone, photograph, tmp_path):
    """k-NN reads files with OpenCV, in the order B, G, R."""
    network = poa_mm.load(export_subnet(random_backbone(RESNET), 'intact', tmp_path, SOURCE))
    cv2.imwrite(str(tmp_path / 'photograph.png'), photograph[..., ::-1])
    folder = tmp_path / 'images' / 'class'
    folder.mkdir(parents=True)
    (tmp_path / 'photograph.png').rename(folder / 'photograph.png')
    dataset = open_dataset(dict(type='ImageFolder', data_root=str(folder.parent), with_label=True))
    images = EvalImages(dataset, 73, 64)
    pixels = images[0].image
    expected = (torch.as_tensor(pixels).float() - network.mean) / network.std
    torch.testing.assert_close(network.preprocess(photograph), expected)


def test_a_checkpoint(checkpoint):
    network = poa_mm.load(checkpoint, '24x3')
    assert network.feature_dims == 24 and network.source['iteration'] == 12
    assert poa_mm.load(checkpoint).feature_dims == 32


@pytest.mark.parametrize('wrong', [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), 'dog.jpg'])
def test_what_is_not_an_image(checkpoint, wrong):
    with pytest.raises(UserError, match='image must be PIL or a uint8 array'):
        poa_mm.load(checkpoint).preprocess(wrong)


def test_import_stays_light():
    code = "import sys, poa_mm; assert 'torch' not in sys.modules; assert callable(poa_mm.load)"
    subprocess.run([sys.executable, '-c', code], check=True)


def test_unknown_attributes():
    with pytest.raises(AttributeError, match="module 'poa_mm' has no attribute 'lod'"):
        poa_mm.lod  # noqa: B018


@pytest.fixture
def cfg_and_file(random_backbone, tmp_path):
    return lambda config: export_subnet(random_backbone(config), 'intact', tmp_path, SOURCE)


@pytest.mark.parametrize('config', [VIT, SWIN, RESNET], ids=lambda config: config['type'])
def test_in_mmpretrain(cfg_and_file, random_backbone, photograph, config):
    """``get_model``, ``FeatureExtractor``, ``init_cfg`` and ``load_state_dict``: never random weights."""
    from mmpretrain import FeatureExtractor, get_model
    from mmpretrain.registry import MODELS

    path = cfg_and_file(config)
    elastic = random_backbone(config)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = elastic.image_features(x)

    def check(classifier):
        classifier.eval()
        with torch.no_grad():
            feature = classifier.extract_feat(x)[-1]
        torch.testing.assert_close(
            feature if feature.ndim == 2 else feature.mean((2, 3)), expected, rtol=1e-5, atol=1e-5
        )

    config_file = str(path.with_suffix('.py'))
    check(get_model(config_file, pretrained=str(path)))
    cfg = Config.fromfile(config_file)
    by_init_cfg = MODELS.build(cfg.model)
    by_init_cfg.init_weights()
    check(by_init_cfg)
    by_hand = MODELS.build(cfg.model)
    by_hand.load_state_dict(torch.load(path, weights_only=True)['state_dict'])
    check(by_hand)

    extractor = FeatureExtractor(config_file, pretrained=str(path))
    feature = extractor(photograph[..., ::-1])[0][-1]  # OpenCV's order, as mmpretrain expects arrays
    ours = poa_mm.load(path)(photograph)
    torch.testing.assert_close(feature if feature.ndim == 1 else feature.mean((1, 2)), ours, rtol=0.05, atol=0.05)
