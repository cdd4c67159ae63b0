"""The random views, in distribution, against torchvision's transforms on PIL images."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from poa_mm.datasets import image_ops as ops
from poa_mm.datasets.multi_crop import View, color_jitter, random_box, random_view

STILL = dict(flip=0.0, jitter=0.0, grayscale=0.0)  # nothing but the crop


@pytest.fixture(scope='module')
def image():
    """An asymmetric photograph-like image: gradients, a strong edge, fine texture."""
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(30, 226, (7, 9, 3), dtype=np.uint8))
    image = np.array(small.resize((180, 140), Image.Resampling.BICUBIC)).astype(int)
    image[:, :60] //= 2
    image += rng.integers(-20, 21, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def statistics(views):
    """Per view: channel means and deviations, and the energy of the gradients; (N, 7)."""
    rows = []
    for view in views:
        view = np.asarray(view).astype(np.float32)
        energy = np.square(np.diff(view, axis=0)).mean() + np.square(np.diff(view, axis=1)).mean()
        rows.append([*view.mean((0, 1)), *view.std((0, 1)), np.log1p(energy)])
    return np.array(rows)


@pytest.mark.parametrize('kind', ['global_1', 'global_2', 'local'])
def test_views_are_distributed_as_torchvisions(image, kind):
    blur, solarize = dict(global_1=(0.0, 0.0), global_2=(0.9, 0.2), local=(0.5, 0.0))[kind]
    scale = (0.05, 0.32) if kind == 'local' else (0.32, 1.0)
    view = View(size=48, scale=scale, blur=blur, solarize=solarize)
    theirs = T.Compose(
        [
            T.RandomResizedCrop(48, scale, interpolation=T.InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            T.RandomGrayscale(0.2),
            T.RandomApply([T.GaussianBlur(9, (0.1, 2.0))], blur),
            T.RandomSolarize(128, solarize),
        ]
    )
    number = 1000
    rng = np.random.default_rng(0)
    a = statistics(random_view(image, view, rng) for _ in range(number))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pil = Image.fromarray(image)
        b = statistics(theirs(pil) for _ in range(number))
    error = np.sqrt((a.var(0) + b.var(0)) / number)
    assert (np.abs(a.mean(0) - b.mean(0)) < 4 * error).all()
    # Two samples of one distribution (Kolmogorov-Smirnov, chance of a false alarm below 1e-4 each).
    for ours, other in zip(a.T, b.T):
        points = np.concatenate([ours, other])
        shares = [np.searchsorted(np.sort(x), points, 'right') / number for x in (ours, other)]
        assert np.abs(shares[0] - shares[1]).max() < 2.3 * np.sqrt(2 / number)


@pytest.mark.parametrize('shape', [(140, 180), (40, 400), (400, 40), (1, 1)])
def test_boxes_are_inside_and_distributed_as_torchvisions(shape):
    view = View(size=8, scale=(0.05, 0.32))
    rng = np.random.default_rng(1)
    ours = np.array([random_box(*shape, view, rng) for _ in range(2000)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blank = torch.zeros(3, *shape)
        theirs = [T.RandomResizedCrop.get_params(blank, view.scale, view.ratio) for _ in range(2000)]
    theirs = np.array(theirs)
    assert (ours >= [0, 0, 1, 1]).all()
    assert (ours[:, :2] + ours[:, 2:] <= shape).all()
    error = np.sqrt((ours.var(0) + theirs.var(0)) / 2000)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) <= 4 * error + 1e-9).all()


@pytest.mark.parametrize('shape', [(10, 100), (100, 10)])
def test_box_of_a_long_image_falls_back_to_its_middle(shape):
    view = View(size=8, scale=(0.9, 1.0))
    box = random_box(*shape, view, np.random.default_rng(0))
    expected = T.RandomResizedCrop.get_params(torch.zeros(3, *shape), view.scale, view.ratio)
    assert box == tuple(expected)


@pytest.mark.parametrize('chance', ['flip', 'grayscale', 'solarize', 'blur', 'jitter'])
def test_probabilities(image, chance):
    whole = dict(size=40, scale=(1.0, 1.0), ratio=(9 / 7, 9 / 7))
    rng = np.random.default_rng(5)
    still = random_view(image, View(**whole, **STILL), rng)
    view = View(**whole, **{**STILL, chance: 0.3})
    changed = [not np.array_equal(random_view(image, view, rng), still) for _ in range(1000)]
    assert abs(np.mean(changed) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1000)


def test_jitter_of_no_strength_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    view = View(size=8, scale=(1, 1), brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    same = color_jitter(image, view, np.random.default_rng(0))
    assert np.abs(same.astype(int) - image).mean() < 1  # the way to HSV and back


def test_jitter_takes_its_parts_in_every_order(monkeypatch):
    calls = []
    for name in ('brightness', 'contrast', 'saturation', 'hue'):
        record = partial(lambda image, value, name: calls.append((name, value)), name=name)
        monkeypatch.setattr(ops, f'adjust_{name}', record)
    rng = np.random.default_rng(0)
    for _ in range(1200):
        color_jitter(None, View(size=8, scale=(1, 1)), rng)
    orders = Counter(tuple(name for name, _ in calls[i : i + 4]) for i in range(0, 4800, 4))
    assert len(orders) == 24
    assert min(orders.values()) > 25  # 50 on average
    limits = dict(brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.8, 1.2), hue=(-0.1, 0.1))
    for name, (low, high) in limits.items():
        values = [value for called, value in calls if called == name]
        assert low <= min(values) < low + 0.01
        assert high - 0.01 < max(values) <= high


def test_view_is_a_pure_function_of_the_generator(image):
    view = View(size=32, scale=(0.3, 1.0), blur=0.5, solarize=0.5)
    np.random.seed(1)
    first = random_view(image, view, np.random.default_rng((7, 11)))
    np.random.seed(2)
    again = random_view(image, view, np.random.default_rng((7, 11)))
    other = random_view(image, view, np.random.default_rng((7, 12)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(size=0), 'size 0'),
        (dict(number=-1), 'number -1'),
        (dict(scale=(0.5, 1.2)), 'scale'),
        (dict(scale=(0.5, 0.2)), 'scale'),
        (dict(ratio=(0, 1)), 'ratio'),
        (dict(blur=1.5), 'blur 1.5'),
        (dict(hue=0.7), 'hue 0.7'),
        (dict(blur_kernel=8), 'blur_kernel 8'),
        (dict(blurr=0.5), "unknown 'blurr'"),
    ],
)
def test_bad_values_are_told(change, message):
    with pytest.raises(ValueError, match=message):
        View.from_config('local', {**dict(size=32, scale=(0.1, 0.5)), **change})


def test_missing_values_are_told():
    with pytest.raises(ValueError, match="'local' needs 'scale'"):
        View.from_config('local', dict(size=32))
