import cv2
import numpy as np
import pytest

from poa_mm.datasets import DemoDataset
from poa_mm.registry import DATASETS


def images(dataset):
    return np.stack([dataset[i]['img'] for i in range(len(dataset))])


def knn_accuracy(train, val, train_labels, val_labels, k=10):
    """Share of right votes among the k nearest by cosine."""
    train, val = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, val))
    votes = train_labels[np.argsort(-val @ train.T, axis=1)[:, :k]]
    return np.mean([np.bincount(vote).argmax() == label for vote, label in zip(votes, val_labels)])


def test_gives_what_a_loading_step_gives():
    dataset = DATASETS.build(dict(type='DemoDataset', num_samples=20, image_size=48))
    sample = dataset[9]
    assert len(dataset) == 20
    assert len(dataset.metainfo['classes']) == 8
    assert sample['img'].shape == (48, 48, 3)
    assert sample['img'].dtype == np.uint8
    assert sample['img_shape'] == sample['ori_shape'] == (48, 48)
    assert [dataset[i]['gt_label'] for i in range(20)] == [i % 8 for i in range(20)]


def test_runs_a_pipeline():
    dataset = DemoDataset(num_samples=2, pipeline=[lambda results: dict(shape=results['img_shape'])])
    assert dataset[1] == dict(shape=(64, 64))


def test_images_follow_seed_split_and_number_alone():
    first = images(DemoDataset(num_samples=8))
    np.random.seed(0)
    assert np.array_equal(first, images(DemoDataset(num_samples=16))[:8])
    assert not np.array_equal(first, images(DemoDataset(num_samples=8, split='val')))
    assert not np.array_equal(first, images(DemoDataset(num_samples=8, seed=1)))


def test_raw_pixels_say_hardly_anything():
    train, val = DemoDataset(num_samples=1000), DemoDataset(num_samples=300, split='val')
    thumbnails = [
        np.stack([cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA) for image in images(x)]) for x in (train, val)
    ]
    thumbnails = [x.reshape(len(x), -1).astype(float) for x in thumbnails]
    labels = [np.arange(len(x)) % 8 for x in thumbnails]
    assert knn_accuracy(*thumbnails, *labels) < 1.6 / 8
    centred = [x - x.mean(1, keepdims=True) for x in thumbnails]
    assert knn_accuracy(*centred, *labels) < 1.6 / 8


def test_classes_can_be_told_apart():
    """The sorted spectrum of the grey image, blind to colour, place and angle, finds the class often."""

    def features(dataset):
        grey = np.stack([cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in images(dataset)])
        spectrum = np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True)))
        spectrum = np.sort(np.log1p(spectrum).reshape(len(grey), -1))[:, -400:]
        return spectrum - spectrum.mean(1, keepdims=True)

    train, val = DemoDataset(num_samples=400), DemoDataset(num_samples=160, split='val')
    accuracy = knn_accuracy(features(train), features(val), np.arange(400) % 8, np.arange(160) % 8)
    assert accuracy > 2.5 / 8


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(split='test'), "split 'test'"),
        (dict(num_samples=0), 'num_samples 0'),
        (dict(image_size=8), 'image_size 8'),
    ],
)
def test_bad_values_are_told(change, message):
    with pytest.raises(ValueError, match=message):
        DemoDataset(**change)
