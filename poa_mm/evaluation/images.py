"""Labelled images for evaluation: resized, centre-cropped, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info
from torchvision.transforms.v2 import functional as TF

from poa_mm.datasets.multi_crop import View, random_view
from poa_mm.datasets.sampler import Draw
from poa_mm.errors import UserError
from poa_mm.registry import DATASETS


class Item(NamedTuple):
    """One image of a data set; ``image`` is ``None`` where it could not be read, for ``reason``."""

    index: int
    label: int
    image: Tensor | None  # (3, S, S) uint8 RGB
    reason: str = ''


class EvalImages(Dataset):
    """Images of any OpenMMLab dataset as the protocol wants them (POA, sec. 4).

    The short side is resized to ``resize`` (bicubic, antialiased), then the centre is cropped.

    Args:
        dataset: Its items hold ``img`` (H, W, 3) uint8 in OpenCV's order BGR, and ``gt_label``.
        resize: Short side after resizing, in pixels.
        crop: Side of the crop, in pixels.

    Raises:
        UserError: If the crop does not fit, or the data set is empty, has no labels or gives no ``img``.
    """

    def __init__(self, dataset: BaseDataset, resize: int = 256, crop: int = 224) -> None:
        if not 0 < crop <= resize:
            raise UserError(f'crop must be between 1 and resize, got crop {crop} and resize {resize}')
        with _plain_errors(describe(dataset)):
            dataset.full_init()
        if 'gt_label' not in dataset.get_data_info(0):
            raise UserError(f'the data set has no labels: {describe(dataset)}')
        try:
            keys = dataset[0]
        except Exception:  # a single unreadable image is found again, and reported, when it is its turn
            keys = ('img',)
        if 'img' not in keys:
            raise UserError(f"the pipeline of {describe(dataset)} gives no 'img': load the image, do not pack it")
        self.dataset, self.resize, self.crop = dataset, resize, crop

    def __len__(self) -> int:
        return len(self.dataset)

    def label(self, index: int) -> int:
        """Class of an image, which is not read for it."""
        return int(self.dataset.get_data_info(index)['gt_label'])

    def __getitem__(self, index: int) -> Item:
        """An unreadable image is no error here: the item says why."""
        image, reason = self.read(index)
        if image is None:
            return Item(index, self.label(index), None, reason)
        image = torch.from_numpy(image).permute(2, 0, 1)
        image = TF.resize(image, [self.resize], TF.InterpolationMode.BICUBIC, antialias=True)
        return Item(index, self.label(index), TF.center_crop(image, [self.crop]))

    def read(self, index: int) -> tuple[np.ndarray | None, str]:
        """An image (H, W, 3) uint8 RGB as it is stored, or ``None`` and why it could not be read."""
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # the workers are the parallelism
        try:
            return cv2.cvtColor(self.dataset[index]['img'], cv2.COLOR_BGR2RGB), ''
        except Exception as error:  # every decoder has its own
            reason = str(error).partition('\n')[0] or type(error).__name__
            path = self.dataset.get_data_info(index).get('img_path', f'number {index}')
            return None, f'{path}: {reason}'


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
        """An unreadable image is no error here: the item says why."""
        image, reason = self.images.read(draw.index)
        if image is not None:
            view = random_view(image, self.view, np.random.default_rng((draw.seed, draw.position)))
            image = torch.from_numpy(np.stack(cv2.split(view)))
        return Item(draw.index, self.images.label(draw.index), image, reason)


def image_folder(path: str | Path) -> BaseDataset:
    """The data set of a folder with one sub-folder per class (``ImageFolder`` layout).

    Raises:
        UserError: If the folder does not exist.
        UserError: If it has no class folders, or one of them has no images.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f'data folder {str(path)!r} does not exist')
    classes = sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith('.'))
    if not classes:
        raise UserError(f'{path} has no labels: images must lie in one sub-folder per class')
    config = dict(
        type='mmpretrain.CustomDataset',
        data_root=str(path),
        pipeline=[dict(type='mmpretrain.LoadImageFromFile')],
        metainfo=dict(classes=tuple(classes)),
        test_mode=True,
        lazy_init=True,
    )
    try:
        dataset = build_dataset(config)
    except RuntimeError as error:
        raise UserError(f'{path} has class folders, but none of them has images') from error
    present = {dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))}
    empty = [name for label, name in enumerate(classes) if label not in present]
    if empty:
        raise UserError(f'{path} has class folders without images: {", ".join(empty)}')
    return dataset


def build_dataset(config: Mapping) -> BaseDataset:
    """A data set from its config.

    Raises:
        UserError: If its files are missing.
        UserError: If it is empty.
    """
    with _plain_errors(str(config.get('type'))):
        dataset = DATASETS.build({'_scope_': 'poa_mm', **config})
        dataset.full_init()
    return dataset


def open_split_pair(
    train: str | Path | Mapping | None, val: str | Path | Mapping | None, learns: bool = True
) -> tuple[BaseDataset | None, BaseDataset]:
    """Gallery and queries, each a folder or the config of a data set.

    Args:
        train: The gallery, or whatever is learned from.
        val: The queries, or whatever is judged with.
        learns: Whether there must be a gallery; else it may be ``None``.

    Raises:
        UserError: If files are missing.
        UserError: If one is missing, or the classes differ.
    """
    if not (val and (train or not learns)):
        options = '--train and --val' if learns else '--val'
        raise UserError(f'no data: give {options}, or knn = dict(train=..., val=...) in the config')
    pair = [build_dataset(d) if isinstance(d, Mapping) else image_folder(d) for d in (train, val) if d]
    if len(pair) == 1:
        return None, pair[0]
    classes = [dataset.metainfo.get('classes') for dataset in pair]
    if all(classes) and tuple(classes[0]) != tuple(classes[1]):
        odd = sorted(set(classes[0]) ^ set(classes[1]))[:5]
        raise UserError(
            f'train and val must have the same classes, but have {len(classes[0])} and {len(classes[1])}; '
            f'for example only one of them has {", ".join(map(str, odd)) or "this order"}'
        )
    return pair[0], pair[1]


@contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f'data {error.filename or name!r} does not exist') from error
    except ValueError as error:
        if 'at least one array' in str(error):  # how MMEngine says that its list of images is empty
            raise UserError(f'the data set is empty: {name}') from error
        raise


def describe(dataset: BaseDataset) -> str:
    """Where a data set comes from, for messages and result files."""
    root = getattr(dataset, 'img_prefix', '') or getattr(dataset, 'data_root', '')
    return f'{type(dataset).__name__} {root}'.strip()
