"""A generated image set with labels; it needs no file, and its classes differ only in their patterns."""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from poa_mm.errors import UserError
from poa_mm.registry import DATASETS

SPLITS = ('train', 'val')


def _coordinates(size: int, rng: np.random.Generator, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pixels, about 8 periods a side, shifted at random and turned by about ``angle``."""
    angle += rng.uniform(-0.2, 0.2)
    x = np.arange(size) / (rng.uniform(0.1, 0.16) * size)
    u = x * math.cos(angle) + x[:, None] * math.sin(angle) + rng.uniform()
    v = x[:, None] * math.cos(angle) - x * math.sin(angle) + rng.uniform()
    return u, v


def _wave(phase: np.ndarray) -> np.ndarray:
    """Softened square wave of period 1, values 0 to 1."""
    return np.clip(0.5 + 2 * np.sin(2 * math.pi * phase), 0, 1)


def _stripes(angle: float) -> Callable:
    """Straight stripes; a mirror image has the same angle or its negative."""

    def draw(size: int, rng: np.random.Generator) -> np.ndarray:
        return _wave(_coordinates(size, rng, angle * rng.choice((-1, 1)))[0])

    return draw


def _checkers(size: int, rng: np.random.Generator) -> np.ndarray:
    u, v = _coordinates(size, rng, 0)
    return np.clip(0.5 + 3 * np.sin(math.pi * u) * np.sin(math.pi * v), 0, 1)


def _rings(size: int, rng: np.random.Generator) -> np.ndarray:
    x, y = np.arange(size) - rng.uniform(0.2, 0.8, (2, 1)) * size
    radius = np.sqrt(x**2 + y[:, None] ** 2)
    return _wave(radius / (rng.uniform(0.1, 0.16) * size) + rng.uniform())


def _scatter(outline: np.ndarray, hollow: bool = False) -> Callable:
    """A pattern of copies of a polygon (corners within the unit circle) of random place, size and angle."""

    def draw(size: int, rng: np.random.Generator) -> np.ndarray:
        canvas = np.zeros((size, size), dtype=np.uint8)
        radius = rng.uniform(0.09, 0.15) * size
        cells = round(size / (2.4 * radius))  # one copy in each cell of a grid, so that few overlap
        rows, columns = np.divmod(np.arange(cells**2), cells)
        centers = np.stack([columns, rows], axis=1) + rng.uniform(0.3, 0.7, (cells**2, 2))
        angles = rng.uniform(0, 2 * math.pi, cells**2)
        for center, angle in zip(centers * size / cells, angles):
            turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
            corners = ((outline @ turn * radius + center) * 16).astype(np.int32)
            if hollow:
                width = max(1, round(radius / 3))
                cv2.polylines(canvas, [corners], True, 255, width, cv2.LINE_AA, shift=4)
            else:
                cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA, shift=4)
        return canvas / 255

    return draw


def _polygon(corners: int) -> np.ndarray:
    angle = np.arange(corners) * 2 * math.pi / corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _star(points: int, inner: float) -> np.ndarray:
    return _polygon(2 * points) * np.tile([[1.0], [inner]], (points, 1))


PATTERNS: dict[str, Callable] = dict(
    upright_stripes=_stripes(0),
    level_stripes=_stripes(math.pi / 2),
    slanted_stripes=_stripes(math.pi / 4),
    checkers=_checkers,
    rings=_rings,
    discs=_scatter(_polygon(16)),
    stars=_scatter(_star(4, 0.35)),
    frames=_scatter(_polygon(4), hollow=True),
)


def draw_image(pattern: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """One image of a pattern.

    Colours, contrast, noise and which of pattern and ground is the lighter are random and drawn alike for
    every pattern; so are its place and size. Colours change across the image, so that two crops of it share
    its pattern and little else.

    Args:
        pattern: A key of ``PATTERNS``.
        size: Side in pixels.
        rng: All randomness comes from it.

    Returns:
        (size, size, 3) uint8.
    """
    mask = PATTERNS[pattern](size, rng).astype(np.float32)[..., None]
    step = rng.uniform(40, 90) * rng.choice((-1, 1))
    shading = 128 + rng.uniform(-80, 80, (4, 4, 3)).astype(np.float32)
    image = cv2.resize(shading, (size, size), interpolation=cv2.INTER_CUBIC)
    image += np.float32(step) * (mask - np.float32(0.5))
    image += rng.uniform(2, 10) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


@DATASETS.register_module()
class DemoDataset(BaseDataset):
    """Generated images of eight patterns, in turn; image ``i`` is a pure function of (seed, split, i).

    Neither colour nor place depends on the class: nearest neighbours by 8 x 8 thumbnails are right hardly
    more often than chance.

    Args:
        num_samples: Number of images.
        split: 'train' or 'val': no image is in both.
        image_size: Side in pixels.
        seed: Seed of the image set.
        pipeline: Transforms of a dict with ``img`` (H, W, 3) uint8, ``img_shape``, ``ori_shape`` and
            ``gt_label``.

    Raises:
        UserError: If the split is unknown or a number not positive.
    """

    METAINFO = dict(classes=tuple(PATTERNS))

    def __init__(
        self,
        num_samples: int = 1000,
        split: str = 'train',
        image_size: int = 64,
        seed: int = 0,
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        if split not in SPLITS:
            raise UserError(f"split '{split}' is unknown: allowed are {list(SPLITS)}.")
        if num_samples < 1 or image_size < 16:
            raise UserError(f'num_samples {num_samples} must be at least 1, image_size {image_size} at least 16.')
        self.num_samples = num_samples
        self.split = split
        self.image_size = image_size
        self.seed = seed
        super().__init__(ann_file='', pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Number and label of every image."""
        return [dict(number=i, gt_label=i % len(PATTERNS)) for i in range(self.num_samples)]

    def prepare_data(self, idx: int) -> dict:
        """Draw an image and run the pipeline on it."""
        info = self.get_data_info(idx)
        rng = np.random.default_rng((self.seed, SPLITS.index(self.split), info['number']))
        pattern = self.metainfo['classes'][info['gt_label']]
        info['img'] = draw_image(pattern, self.image_size, rng)
        info['img_shape'] = info['ori_shape'] = info['img'].shape[:2]
        return self.pipeline(info)
