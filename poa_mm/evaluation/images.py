"""Labelled images for evaluation: resized, centre-cropped, in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as TF

from poa_mm.datasets.multi_crop import View, random_view
from poa_mm.datasets.reading import UnreadableImageError, describe, open_class_folders, open_dataset, read_image
from poa_mm.datasets.sampler import Draw
from poa_mm.errors import UserError

INTERPOLATIONS = ('bicubic', 'bilinear')


class Item(NamedTuple):
    """One image of a data set; ``image`` is ``None`` if it could not be read, and ``reason`` says why."""

    index: int
    label: int
    image: Tensor | None  # (3, S, S) uint8 RGB
    reason: str = ''


class EvalImages(Dataset):
    """Images of any OpenMMLab dataset, resized and centre-cropped (POA, sec. 4).

    The short side is resized to ``resize`` (antialiased), then the centre is cropped.

    Args:
        dataset: Its items hold ``img`` (H, W, 3) uint8 in OpenCV's order BGR, and ``gt_label``.
        resize: Short side after resizing, in pixels.
        crop: Side of the crop, in pixels.
        interpolation: Of the resize, ``'bicubic'`` or ``'bilinear'``.

    Raises:
        UserError: If the crop does not fit, the interpolation is unknown, or the data set is empty, has no labels or
            gives no ``img``.
    """

    def __init__(
        self, dataset: BaseDataset, resize: int = 256, crop: int = 224, interpolation: str = 'bicubic'
    ) -> None:
        if not 0 < crop <= resize:
            raise UserError(f'crop must be between 1 and resize, got crop {crop} and resize {resize}')
        if interpolation not in INTERPOLATIONS:
            raise UserError(f'interpolation must be one of {list(INTERPOLATIONS)}, got {interpolation!r}')
        self.dataset, self.resize, self.crop = open_dataset(dataset), resize, crop
        self.mode = TF.InterpolationMode(interpolation)
        if 'gt_label' not in dataset.get_data_info(0):
            raise UserError(f'the data set has no labels: {describe(dataset)}')
        self.read(0)  # checks the pipeline

    def __len__(self) -> int:
        return len(self.dataset)

    def label(self, index: int) -> int:
        """Class of an image, without reading the image."""
        return int(self.dataset.get_data_info(index)['gt_label'])

    def __getitem__(self, index: int) -> Item:
        """An unreadable image does not raise: its item has the reason."""
        image, reason = self.read(index)
        if image is None:
            return Item(index, self.label(index), None, reason)
        image = torch.from_numpy(image).permute(2, 0, 1)
        image = TF.resize(image, [self.resize], self.mode, antialias=True)
        return Item(index, self.label(index), TF.center_crop(image, [self.crop]))

    def read(self, index: int) -> tuple[np.ndarray | None, str]:
        """An image (H, W, 3) uint8 RGB as stored and no reason, or ``None`` and the reason: path and error."""
        try:
            return read_image(self.dataset, index), ''
        except UnreadableImageError as error:
            return None, str(error)


class TrainImages(Dataset):
    """Random views of labelled images: a crop of 8 to 100 % of the area, resized, and a flip.

    A view is a pure function of the draw: the same for any number of workers or processes and after a resume.

    Args:
        images: The images; views are as large as their crops.
    """

    def __init__(self, images: EvalImages) -> None:
        self.images = images
        self.view = View(images.crop, scale=(0.08, 1.0), jitter=0.0, grayscale=0.0)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Item:
        """An unreadable image does not raise: its item has the reason."""
        image, reason = self.images.read(draw.index)
        if image is not None:
            view = random_view(image, self.view, np.random.default_rng((draw.seed, draw.position)))
            image = torch.from_numpy(np.stack(cv2.split(view)))
        return Item(draw.index, self.images.label(draw.index), image, reason)


def open_split_pair(
    train: str | Path | Mapping | None, val: str | Path | Mapping | None, learns: bool = True
) -> tuple[BaseDataset | None, BaseDataset]:
    """Training and validation images, each a folder or the config of a data set.

    Args:
        train: Training (gallery) images.
        val: Validation images.
        learns: Whether training images are required; otherwise ``train`` may be ``None``.

    Raises:
        UserError: If files or one of the two are missing, or the classes differ.
    """
    if not (val and (train or not learns)):
        options = '--train and --val' if learns else '--val'
        raise UserError(f'no data: give {options}, or knn = dict(train=..., val=...) in the config')
    pair = [open_dataset(d) if isinstance(d, Mapping) else open_class_folders(d) for d in (train, val) if d]
    if len(pair) == 1:
        return None, pair[0]
    check_same_classes(*(dataset.metainfo.get('classes') for dataset in pair), 'train and val')
    return pair[0], pair[1]


def check_same_classes(one: Sequence[str] | None, other: Sequence[str] | None, what: str) -> None:
    """Check that two lists of classes are the same, in the same order.

    Args:
        one: Names; ``None`` or empty where they are not known, which fits everything.
        other: The same.
        what: What the two lists are of, for the message.

    Raises:
        UserError: If they are not.
    """
    if one and other and tuple(one) != tuple(other):
        odd = sorted(set(one) ^ set(other))[:5]
        raise UserError(
            f'{what} must have the same classes, but have {len(one)} and {len(other)}; '
            f'for example, only one of them has {", ".join(map(str, odd)) or "this order"}'
        )
