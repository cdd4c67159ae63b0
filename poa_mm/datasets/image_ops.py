"""Operations on one uint8 RGB image, with all parameters given; nothing is random here.

They compute what torchvision's transforms compute on PIL images, to a few grey levels, several times
as fast.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R 601, as PIL

# Colour changes as matrices of (R, G, B, 1): cv2.transform applies one in a single pass and clips.
IDENTITY = np.eye(3, 4)
OFFSET = np.repeat([[0.0, 0.0, 0.0, 1.0]], 3, axis=0)
TO_GREY = np.repeat([[*GREY_WEIGHTS, 0.0]], 3, axis=0)


def resized_crop(image: np.ndarray, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    """Crop, then resize to a square, bicubic and antialiased.

    Args:
        image: (H, W, 3) uint8.
        box: Top, left, height and width of the crop, in pixels.
        size: Side of the result, in pixels.

    Returns:
        (size, size, 3) uint8.
    """
    top, left, height, width = box
    crop = np.ascontiguousarray(image[top : top + height, left : left + width])
    # PyTorch's uint8 kernel is PIL's. OpenCV's bicubic has no antialiasing (a mean
    # error of 1 to 3 levels between 1.3x and 2.6x reduction) and its area mode is not cubic.
    # The batch axis is added before the permutation: the other way round, PyTorch would not see that the
    # layout is channels last, and take three times as long.
    crop = torch.from_numpy(crop)[None].permute(0, 3, 1, 2)
    crop = F.interpolate(crop, size=(size, size), mode='bicubic', antialias=True)
    return np.ascontiguousarray(crop[0].permute(1, 2, 0).numpy())


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with black: ``factor * image``, clipped."""
    return cv2.transform(image, factor * IDENTITY)


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the mean grey level of the image."""
    mean = np.dot(cv2.mean(image)[:3], GREY_WEIGHTS)
    return cv2.transform(image, factor * IDENTITY + (1 - factor) * mean * OFFSET)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the grey version of the image."""
    return cv2.transform(image, factor * IDENTITY + (1 - factor) * TO_GREY)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by ``shift`` turns, from -0.5 to 0.5."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    row = np.zeros_like(hsv[0])
    row[:, 0] = round(shift * 256) % 256
    hsv += row  # 256 levels of hue are one turn, so uint8 wraps around as it should
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def grayscale(image: np.ndarray) -> np.ndarray:
    """Grey image with three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def gaussian_blur(image: np.ndarray, kernel_size: int, sigma: float) -> np.ndarray:
    """Gaussian blur, border reflected; ``sigma`` in pixels."""
    kernel = cv2.getGaussianKernel(kernel_size, sigma)
    return cv2.sepFilter2D(image, -1, kernel, kernel)  # twice as fast as cv2.GaussianBlur


def solarize(image: np.ndarray, threshold: int) -> np.ndarray:
    """Invert the values of ``threshold`` and above."""
    levels = np.arange(256)
    table = np.where(levels < threshold, levels, 255 - levels).astype(np.uint8)
    return cv2.LUT(image, table)


def centre_crop(image: np.ndarray, size: int) -> Tensor:
    """The centre ``(3, size, size)`` uint8 of an image ``(H, W, 3)`` whose short side is resized to 8/7 of it."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    pixels = TF.resize(pixels, [round(size * 8 / 7)], TF.InterpolationMode.BICUBIC, antialias=True)
    return TF.center_crop(pixels, [size])
