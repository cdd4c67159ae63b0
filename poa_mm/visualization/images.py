"""The images that are looked at: those of a folder, or of the data set of a config."""

from __future__ import annotations

from pathlib import Path

from mmengine.dataset import BaseDataset

from poa_mm.config import load_config
from poa_mm.config.recipes import is_config
from poa_mm.datasets.reading import open_dataset, open_folder
from poa_mm.errors import UserError


def open_images(source: str | Path) -> BaseDataset:
    """All images of a folder and its sub-folders, or the ``knn.val`` of a pre-training config.

    Raises:
        UserError: Without images.
    """
    if not is_config(source):
        return open_folder(source)
    cfg = load_config(str(source), {}, None, 'none')
    if not cfg.get('knn', {}).get('val'):
        raise UserError(f'{source} has no knn.val: give --images a folder')
    return open_dataset(cfg.knn.val)
