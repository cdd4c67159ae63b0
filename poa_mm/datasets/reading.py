"""Opens data sets and reads their images: the one way for pre-training and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset, get_worker_info

from poa_mm.errors import UserError, not_found
from poa_mm.registry import DATASETS

from .decoding import check_pixels
from .image_folder import ImageFolder
from .tar_shards import TarShards

# Messages of mmpretrain's folders and MMEngine's lists without images.
EMPTY = ('Found 0 files', 'at least one array')


class UnreadableImageError(UserError):
    """An image file that cannot be read; the message has its path and the reason."""


def open_dataset(dataset: Mapping | Dataset) -> Dataset:
    """Build a data set from its config and load its list of images.

    Args:
        dataset: The config; or the data set itself, whose list is loaded. An ``ImageFolder`` whose ``data_root`` ends
            in ``.tar`` is a :class:`TarShards`, so that recipes take both.

    Raises:
        UserError: If its files are missing or may not be read, or it has no images.
    """
    if isinstance(dataset, Mapping) and dataset.get('type') == 'ImageFolder' and is_shards(dataset.get('data_root')):
        dataset = dict(type='TarShards', shards=dataset['data_root'], with_label=dataset.get('with_label', False))
    where = dataset.get('data_root') or dataset.get('type') if isinstance(dataset, Mapping) else describe(dataset)
    try:
        if isinstance(dataset, Mapping):
            dataset = DATASETS.build({'_scope_': 'poa_mm', **dataset})
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    except FileNotFoundError as error:
        where = str(error.filename or where)
        raise UserError(f'the data {where!r} does not exist: set data_root to a folder of images') from error
    except NotADirectoryError as error:
        raise UserError(f'the data {error.filename!r} is not a folder: set data_root to a folder of images') from error
    except PermissionError as error:
        raise UserError(f'the data {str(error.filename or where)!r} cannot be read: {error.strerror}') from error
    except (RuntimeError, ValueError) as error:
        if not any(text in str(error) for text in EMPTY):
            raise
        raise UserError(f'the data {where!r} holds no images: set data_root to a folder of images') from error
    return dataset


def is_shards(path: Any) -> bool:
    """Whether a path is of tar files, with or without ``*``."""
    return isinstance(path, str | Path) and Path(path).suffix == '.tar'


def open_class_folders(path: str | Path) -> Dataset:
    """The data set of a folder with one sub-folder of images per class, classes in alphabetical order.

    A path that ends in ``.tar`` is of shards with classes (:class:`TarShards`).

    Raises:
        UserError: If the folder does not exist, has no class folders, or one of them has no images.
    """
    if is_shards(path):
        return open_dataset(dict(type='TarShards', shards=str(path), with_label=True))
    path = Path(path)
    if not path.is_dir():
        raise UserError(f'data folder {not_found(path)}')
    classes = sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith('.'))
    if not classes:
        raise UserError(f'{path} has no labels: images must lie in one sub-folder per class')
    dataset = open_dataset(dict(type='ImageFolder', data_root=str(path), with_label=True))
    present = {dataset.metainfo['classes'][label] for label in np.unique(dataset.labels)}
    empty = [name for name in classes if name not in present]
    if empty:
        raise UserError(f'{path} has class folders without images: {", ".join(empty)}')
    return dataset


def open_folder(path: str | Path) -> Dataset:
    """The data set of all images of a folder and its sub-folders, or of shards, without labels.

    Raises:
        UserError: If the folder does not exist or has no images.
    """
    if not (is_shards(path) or Path(path).is_dir()):
        raise UserError(f'the folder of images {not_found(path)}')
    return open_dataset(dict(type='ImageFolder', data_root=str(path)))


def read_image(dataset: Dataset, index: int) -> np.ndarray:
    """An image (H, W, 3) uint8 RGB of a data set whose pipeline gives ``img`` in OpenCV's order BGR.

    Raises:
        UnreadableImageError: If the pipeline fails.
        UserError: If the pipeline does not load images.
    """
    if get_worker_info() is not None:
        cv2.setNumThreads(0)  # the workers are the parallelism
    try:
        if not isinstance(dataset, ImageFolder | TarShards):  # which check the bytes that they decode
            path = Path(dataset.get_data_info(index).get('img_path', ''))
            if path.is_file():
                check_pixels(path)
        results = dataset[index]
    except Exception as error:  # every decoder has its own
        path = dataset.get_data_info(index).get('img_path', f'number {index}')
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise UnreadableImageError(f'cannot read image {path}: {reason}') from error
    if 'img' not in results:
        raise UserError(
            f"the pipeline of {describe(dataset)} gives no 'img': it needs dict(type='LoadImageFromFile'), and must "
            'not pack its results'
        )
    return cv2.cvtColor(results['img'], cv2.COLOR_BGR2RGB)


def read_images(dataset: Dataset, number: int) -> list[np.ndarray]:
    """At most so many images ``(H, W, 3)`` uint8 RGB, drawn with a fixed seed; warns of those that cannot be read.

    Raises:
        UserError: If none can be read.
    """
    found = []
    for i in np.random.default_rng(0).permutation(len(dataset))[:number].tolist():
        try:
            found.append(read_image(dataset, i))
        except UnreadableImageError as error:
            print_log(str(error), 'current', logging.WARNING)
    if not found:
        raise UserError(f'none of the images could be read: {describe(dataset)}')
    return found


def describe(dataset: Dataset) -> str:
    """Class and folder of a data set, for messages and result files."""
    root = getattr(dataset, 'img_prefix', '') or getattr(dataset, 'data_root', '')
    return f'{type(dataset).__name__} {root}'.strip()
