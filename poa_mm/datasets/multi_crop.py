"""Several random views of one image (POA, sec. 4.1, with DINOv2's recipe of augmentation)."""

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np

from poa_mm.errors import UserError

from . import image_ops as ops

PROBABILITIES = ('flip', 'jitter', 'grayscale', 'blur', 'solarize')
STRENGTHS = ('brightness', 'contrast', 'saturation', 'hue')


@dataclass(frozen=True)
class View:
    """One kind of view: how it is cropped and with which probability each change is made.

    Args:
        size: Side in pixels.
        scale: Smallest and largest area of the crop, as a fraction of the image.
        number: Views of this kind per image.
        ratio: Smallest and largest width over height of the crop.
        flip: Probability of a horizontal flip.
        jitter: Probability of the colour jitter, its four parts in random order.
        brightness: Its factor is drawn from 1 - brightness to 1 + brightness.
        contrast: Its factor is drawn from 1 - contrast to 1 + contrast.
        saturation: Its factor is drawn from 1 - saturation to 1 + saturation.
        hue: Its shift is drawn from -hue to hue, in turns of the colour wheel.
        grayscale: Probability of losing all colour.
        blur: Probability of a Gaussian blur.
        blur_sigma: Smallest and largest standard deviation of the blur, in pixels.
        blur_kernel: Side of the blur's kernel in pixels, odd.
        solarize: Probability of solarisation.
        solarize_threshold: Levels from here to 255 are inverted.

    Raises:
        UserError: If a value is out of range.
    """

    size: int
    scale: tuple[float, float]
    number: int = 1
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    grayscale: float = 0.2
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_kernel: int = 9
    solarize: float = 0.0
    solarize_threshold: int = 128

    def __post_init__(self) -> None:
        if self.size < 1 or self.number < 0:
            raise UserError(f'size {self.size} of a view must be at least 1, number {self.number} at least 0.')
        if not isinstance(self.scale, list | tuple) or len(self.scale) != 2:
            raise UserError(f'scale {self.scale} must be two fractions of the area, rising in (0, 1].')
        low, high = self.scale
        if not 0 < low <= high <= 1:
            raise UserError(f'scale {self.scale} must be two fractions of the area, rising in (0, 1].')
        for name in ('ratio', 'blur_sigma'):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UserError(f'{name} {(low, high)} must be two positive values, rising.')
        for name in PROBABILITIES + STRENGTHS:
            high = 0.5 if name == 'hue' else 1
            if not 0 <= getattr(self, name) <= high:
                raise UserError(f'{name} {getattr(self, name)} must be between 0 and {high}.')
        if self.blur_kernel % 2 == 0:
            raise UserError(f'blur_kernel {self.blur_kernel} must be odd.')

    @classmethod
    def from_config(cls, name: str, config: dict) -> 'View':
        """The view of a config entry.

        Raises:
            UserError: If a key is unknown or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in config:
            if key not in known:
                raise UserError(f"unknown '{key}' in view '{name}': allowed are {known}.")
        for key in ('size', 'scale'):
            if key not in config:
                raise UserError(f"view '{name}' needs '{key}'.")
        return cls(**config)


def random_box(height: int, width: int, view: View, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height, width of a random crop, drawn as torchvision's RandomResizedCrop does."""
    log_ratio = math.log(view.ratio[0]), math.log(view.ratio[1])
    for _ in range(10):
        area = height * width * rng.uniform(*view.scale)
        ratio = math.exp(rng.uniform(*log_ratio))
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    # The image is too long or too tall for what was asked: its middle, in the nearest shape.
    h = min(height, max(1, round(width / view.ratio[0])))
    w = min(width, max(1, round(height * view.ratio[1])))
    return (height - h) // 2, (width - w) // 2, h, w


def color_jitter(image: np.ndarray, view: View, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation and hue by random amounts, in random order."""
    for part in rng.permutation(4):
        if part == 3:
            image = ops.adjust_hue(image, rng.uniform(-view.hue, view.hue))
        else:
            strength = (view.brightness, view.contrast, view.saturation)[part]
            adjust = (ops.adjust_brightness, ops.adjust_contrast, ops.adjust_saturation)[part]
            image = adjust(image, rng.uniform(1 - strength, 1 + strength))
    return image


def random_view(image: np.ndarray, view: View, rng: np.random.Generator) -> np.ndarray:
    """One view of an image.

    Args:
        image: (H, W, 3) uint8, RGB.
        view: The kind of view.
        rng: All randomness comes from it.

    Returns:
        (size, size, 3) uint8, RGB.
    """
    box = random_box(*image.shape[:2], view, rng)
    image = ops.resized_crop(image, box, view.size)
    if rng.random() < view.flip:
        image = cv2.flip(image, 1)
    if rng.random() < view.jitter:
        image = color_jitter(image, view, rng)
    if rng.random() < view.grayscale:
        image = ops.grayscale(image)
    if rng.random() < view.blur:
        image = ops.gaussian_blur(image, view.blur_kernel, rng.uniform(*view.blur_sigma))
    if rng.random() < view.solarize:
        image = ops.solarize(image, view.solarize_threshold)
    return image
