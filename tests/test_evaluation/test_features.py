"""Reading images and features: what the networks see, and that each image is read once."""

import logging

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image

from poa_mm.datasets import DemoDataset, ImageFolder, open_class_folders
from poa_mm.evaluation import EvalImages, FeatureReader, open_split_pair, thumbnail_features

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)


@pytest.fixture
def folder(tmp_path):
    """Two classes of three photographs each, of several shapes."""
    rng = np.random.default_rng(0)
    for name in ('cat', 'dog'):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for i in range(3):
            small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            image = cv2.resize(small, (60 + 10 * i, 50), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / 'data' / name / f'{i}.png'), image)
    return tmp_path / 'data'


def reader(networks, **kwargs):
    return FeatureReader(networks, MEAN, STD, **{'batch_size': 4, 'num_workers': 0, **kwargs})


def test_images_are_what_pil_gives(folder):
    images = EvalImages(open_class_folders(folder), resize=40, crop=32)
    assert [images[i].label for i in range(6)] == [0, 0, 0, 1, 1, 1]
    for i, name in enumerate(['0', '1', '2']):
        pil = Image.open(folder / 'cat' / f'{name}.png').convert('RGB')
        pil = pil.resize((int(40 * pil.width / pil.height), 40), Image.Resampling.BICUBIC)
        left = round((pil.width - 32) / 2)
        expected = np.asarray(pil.crop((left, 4, left + 32, 36))).astype(int)
        got = images[i].image.permute(1, 2, 0).numpy().astype(int)
        assert abs(got - expected).max() <= 1


def test_each_image_is_read_once_for_all_networks(folder, monkeypatch):
    reads = []
    original = ImageFolder.__getitem__
    monkeypatch.setattr(ImageFolder, '__getitem__', lambda self, i: reads.append(i) or original(self, i))
    images = EvalImages(open_class_folders(folder), 40, 32)
    reads.clear()
    networks = {'mean': lambda x: x.mean((2, 3)), 'pixels': thumbnail_features}
    features, labels, index = reader(networks).collect(images, 'val')
    assert sorted(reads) == list(range(6))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1] and index.tolist() == list(range(6))
    pixels = torch.stack([images[i].image for i in range(6)]).float()
    normal = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(features['mean'], F.normalize(normal.mean((2, 3)), dim=1))
    blocks = normal.view(6, 3, 8, 4, 8, 4).mean((3, 5)).flatten(1)
    torch.testing.assert_close(features['pixels'], F.normalize(blocks, dim=1))


def test_workers_and_amp_give_the_same(folder):
    images = EvalImages(open_class_folders(folder), 40, 32)
    layer = torch.nn.Linear(3, 5)
    networks = {'a': lambda x: layer(x.mean((2, 3)))}
    plain = reader(networks).collect(images, 'val')[0]['a']
    worked = reader(networks, num_workers=2, batch_size=2).collect(images, 'val')[0]['a']
    torch.testing.assert_close(worked, plain)
    half = reader(networks, amp=True).collect(images, 'val')[0]['a']
    assert half.dtype == torch.float32 and not torch.equal(half, plain)
    torch.testing.assert_close(half, plain, atol=0.03, rtol=0)


def test_unreadable_image_is_left_out_with_a_warning(folder):
    (folder / 'cat' / '1.png').write_bytes(b'not a picture')
    images = EvalImages(open_class_folders(folder), 40, 32)
    warned = []
    handler = logging.Handler()
    handler.emit = lambda record: warned.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        read = reader({'a': thumbnail_features})
        features, labels, index = read.collect(images, 'val')
        assert len(read.all_unreadable()) == 1
    finally:
        logger.removeHandler(handler)
    assert index.tolist() == [0, 2, 3, 4, 5] and labels.tolist() == [0, 0, 1, 1, 1] and len(features['a']) == 5
    assert any('cannot read image' in text and 'cat/1.png' in text for text in warned)
    assert any('1 images could not be read' in text for text in warned)


def test_none_readable(folder):
    for path in folder.glob('*/*.png'):
        path.write_bytes(b'')
    with pytest.raises(ValueError, match=r'none of the 6 images could be read; .*cat/0\.png'):
        reader({'a': thumbnail_features}).collect(EvalImages(open_class_folders(folder), 40, 32), 'val')


def test_under_the_scope_of_another_toolbox(folder):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        open_split_pair(folder, dict(type='DemoDataset', num_samples=8, metainfo=dict(classes=('cat', 'dog'))))


def test_splits_that_do_not_match(folder, tmp_path):
    (folder / 'emu').mkdir()
    cv2.imwrite(str(folder / 'emu' / '0.png'), np.zeros((8, 8, 3), np.uint8))
    for name in ('cat', 'dog'):
        (tmp_path / 'val' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'val' / name / '0.png'), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match='same classes, but have 3 and 2; for example, only one of them has emu'):
        open_split_pair(folder, tmp_path / 'val')
    with pytest.raises(ValueError, match='no data: give --train and --val'):
        open_split_pair(None, None)
    train, val = open_split_pair(*(dict(type='DemoDataset', num_samples=8, split=s) for s in ('train', 'val')))
    assert len(train) == len(val) == 8


def test_datasets_that_will_not_do():
    demo = DemoDataset(num_samples=8, image_size=32)
    assert EvalImages(demo, 40, 32)[3].image.shape == (3, 32, 32)
    with pytest.raises(ValueError, match='crop 64 and resize 40'):
        EvalImages(demo, 40, 64)
    with pytest.raises(ValueError, match=r"gives no 'img'"):
        EvalImages(DemoDataset(num_samples=8, pipeline=[lambda results: dict(x=1)]), 40, 32)

    class Unlabelled(BaseDataset):
        def load_data_list(self):
            return [dict(img_path='x.png')] if self.metainfo.get('some') else []

    with pytest.raises(ValueError, match='data set has no labels: Unlabelled'):
        EvalImages(Unlabelled(metainfo=dict(some=True)), 40, 32)
    with pytest.raises(ValueError, match="the data 'Unlabelled' holds no images"):
        EvalImages(Unlabelled(lazy_init=True), 40, 32)
