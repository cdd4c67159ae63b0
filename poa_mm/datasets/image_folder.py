"""A folder of images, also of many millions."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from poa_mm.errors import UserError
from poa_mm.registry import DATASETS

from .decoding import EXTENSIONS, decode
from .manifest import Manifest


@DATASETS.register_module()
class ImageFolder(Dataset):
    """Images of a folder and its sub-folders.

    The items of ``mmpretrain.CustomDataset``, ordered by folder, then by file, with more formats, a limit on the
    pixels of an image and a list of files that is kept in a cache (:class:`Manifest`).

    Args:
        data_root: The folder. Hidden files and folders in it are left out.
        with_label: Whether the sub-folders of ``data_root`` are classes, ordered by name; files beside them are then
            left out.
        cache: Folder of the cached lists; ``None`` is the user's cache.

    Raises:
        FileNotFoundError: If the folder does not exist.
        UserError: If it holds no images.
    """

    def __init__(self, data_root: str | Path, with_label: bool = False, cache: str | Path | None = None) -> None:
        self.data_root = str(data_root)
        self.manifest = Manifest.open(data_root, cache)
        self.folders = self.manifest.folder_names()
        self.start, self.metainfo = 0, {}
        if with_label:
            self.start = int(self.manifest.first[1])  # the folder itself is the first
            classes = sorted({folder.split('/')[0] for folder in self.folders[1:]})
            number = {name: label for label, name in enumerate(classes)}
            self.folder_labels = np.array([-1, *(number[folder.split('/')[0]] for folder in self.folders[1:])])
            self.metainfo = dict(classes=tuple(classes))
        self.with_label = with_label
        if len(self) == 0:
            raise UserError(
                f'the data {self.data_root!r} holds no images{" in sub-folders" * with_label}: set data_root to a '
                f'folder of {", ".join(EXTENSIONS)} files'
            )
        if others := self.manifest.other_files():
            counts = ', '.join(f'{number:,} {kind or "without extension"}' for kind, number in sorted(others.items()))
            print_log(f'{self.data_root}: left out are files of other formats: {counts}', 'current', logging.WARNING)

    def __len__(self) -> int:
        return len(self.manifest) - self.start

    @property
    def labels(self) -> np.ndarray:
        """Class of every image, (N,)."""
        return np.repeat(self.folder_labels, np.diff(self.manifest.first))[self.start :]

    def get_data_info(self, index: int) -> dict[str, Any]:
        """``img_path`` and, with labels, ``gt_label``."""
        index = range(self.start, len(self.manifest))[index]
        folder = self.manifest.folder_of(index)
        info = dict(img_path=str(Path(self.data_root, self.folders[folder], self.manifest.name(index))))
        return dict(info, gt_label=int(self.folder_labels[folder])) if self.with_label else info

    def __getitem__(self, index: int) -> dict[str, Any]:
        """:meth:`get_data_info` and ``img``, (H, W, 3) uint8 BGR.

        Raises:
            UserError: If the image cannot be decoded or is too large.
        """
        info = self.get_data_info(index)
        return dict(info, img=decode(Path(info['img_path']).read_bytes()))
