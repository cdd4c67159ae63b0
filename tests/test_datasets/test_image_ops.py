"""Every operation against torchvision's on PIL images, with the same parameters."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as TF

from poa_mm.datasets import image_ops as ops


@pytest.fixture(scope='module')
def image():
    """Smooth colours, sharp edges and noise, over the whole range."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (12, 15, 3), dtype=np.uint8))
    image = np.array(small.resize((150, 120), Image.Resampling.BICUBIC)).astype(int)
    image[30:60, 40:80] += (60, -80, 20)
    image += rng.integers(-10, 11, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def difference(ours, theirs):
    """Mean and largest absolute difference, in grey levels."""
    theirs = np.asarray(theirs)
    assert ours.dtype == np.uint8
    assert ours.shape == theirs.shape
    error = np.abs(ours.astype(int) - theirs.astype(int))
    return error.mean(), error.max()


@pytest.mark.parametrize('box', [(10, 20, 100, 90), (0, 0, 30, 40), (0, 0, 120, 150), (5, 5, 1, 1)])
@pytest.mark.parametrize('size', [32, 96])
def test_resized_crop(image, box, size):
    expected = TF.resized_crop(Image.fromarray(image), *box, (size, size), TF.InterpolationMode.BICUBIC)
    mean, largest = difference(ops.resized_crop(image, box, size), expected)
    # Where one side grows and the other shrinks, PIL takes them in the other order.
    assert mean < 0.3
    assert largest <= 2


@pytest.mark.parametrize('factor', [0.6, 1.0, 1.4])
@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
def test_color_factors(image, name, factor):
    ours = getattr(ops, f'adjust_{name}')(image, factor)
    theirs = getattr(TF, f'adjust_{name}')(Image.fromarray(image), factor)
    mean, largest = difference(ours, theirs)
    assert mean < 0.7  # PIL truncates, OpenCV rounds
    assert largest <= 2


@pytest.mark.parametrize('shift', [-0.1, -0.03, 0.0, 0.07, 0.1])
def test_hue(image, shift):
    ours = ops.adjust_hue(image, shift)
    mean, largest = difference(ours, TF.adjust_hue(Image.fromarray(image), shift))
    assert mean < 2.5  # both keep the hue in 256 levels, and PIL's version slice_rules the shift to 1/255
    assert largest <= 20
    exact = TF.adjust_hue(torch.from_numpy(image).permute(2, 0, 1), shift).permute(1, 2, 0)
    mean, largest = difference(ours, exact)
    assert mean < 1.2
    assert largest <= 12


def test_hue_turns_red_to_green():
    red = np.full((4, 4, 3), (200, 0, 0), dtype=np.uint8)
    mean, _ = difference(ops.adjust_hue(red, 1 / 3), np.full((4, 4, 3), (0, 200, 0)))
    assert mean < 2


def test_grayscale(image):
    mean, largest = difference(ops.grayscale(image), TF.to_grayscale(Image.fromarray(image), num_output_channels=3))
    assert mean < 0.1
    assert largest <= 1


@pytest.mark.parametrize('sigma', [0.1, 0.5, 1.0, 2.0])
def test_gaussian_blur(image, sigma):
    theirs = TF.gaussian_blur(Image.fromarray(image), 9, sigma)
    mean, largest = difference(ops.gaussian_blur(image, 9, sigma), theirs)
    assert mean < 0.6
    assert largest <= 2


@pytest.mark.parametrize('threshold', [128, 1, 255])
def test_solarize(image, threshold):
    theirs = TF.solarize(Image.fromarray(image), threshold)
    assert difference(ops.solarize(image, threshold), theirs) == (0, 0)


def test_operations_leave_their_input_alone(image):
    before = image.copy()
    for name in ('brightness', 'contrast', 'saturation', 'hue'):
        getattr(ops, f'adjust_{name}')(image, 0.4)
    ops.grayscale(image)
    ops.gaussian_blur(image, 9, 1.0)
    ops.solarize(image, 128)
    ops.resized_crop(image, (0, 0, 120, 150), 96)
    assert torch.equal(torch.from_numpy(image), torch.from_numpy(before))
