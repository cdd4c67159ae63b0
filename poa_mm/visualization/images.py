"""The images that are looked at: those of a folder, or of the data set of a config."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from poa_mm.datasets.reading import UnreadableImageError, open_dataset, read_image
from poa_mm.errors import UserError
from poa_mm.launch import load_config


def open_images(source: str | Path) -> BaseDataset:
    """All images of a folder and its sub-folders, or the ``knn.val`` of a pre-training config.

    Raises:
        UserError: If there are no images.
    """
    if Path(source).suffix == '.py':
        cfg = load_config(str(source), {}, None, 'none')
        if not cfg.get('knn', {}).get('val'):
            raise UserError(f'{source} has no knn.val: give --images a folder')
        return open_dataset(cfg.knn.val)
    if not Path(source).is_dir():
        raise UserError(f'the folder of images {str(source)!r} does not exist')
    pipeline = [dict(type='mmpretrain.LoadImageFromFile')]
    return open_dataset(
        dict(type='mmpretrain.CustomDataset', data_root=str(source), with_label=False, pipeline=pipeline)
    )


def read_images(dataset: BaseDataset, number: int) -> list[np.ndarray]:
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
        raise UserError(f'none of the images could be read: {getattr(dataset, "data_root", "")}')
    return found
