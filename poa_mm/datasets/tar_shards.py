"""Images in tar files, as WebDataset writes them, read at random."""

from __future__ import annotations

import glob
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from poa_mm.errors import UserError
from poa_mm.files import write_atomically
from poa_mm.registry import DATASETS

from .decoding import EXTENSIONS, decode


@DATASETS.register_module()
class TarShards(Dataset):
    """Images of WebDataset's shards: uncompressed tar files, in which the files of a sample share a name.

    The place of every image is looked up once per shard and kept beside it in ``<shard>.index.npz`` (without one where
    the folder is read-only). Samples are then read at random, as files of a folder are: the same draws give the same
    images, and a resumed run continues exactly. The order is that of the shards by name, then of their samples.

    Args:
        shards: Path with ``*`` of the tar files, e.g. ``data/train-*.tar``.
        with_label: Whether each sample has a class, an integer in its ``.cls`` file or under ``label`` in ``.json``.

    Raises:
        UserError: If a file does not exist or is not a tar file, or samples lack an image or a class.
    """

    def __init__(self, shards: str | Path, with_label: bool = False) -> None:
        self.data_root, self.with_label = str(shards), with_label
        self.shards = sorted(glob.glob(os.path.expanduser(str(shards))))
        if not self.shards:
            raise UserError(f'{str(shards)!r} matches no shards: give a path of tar files, e.g. data/train-*.tar')
        tables = [_index(shard) for shard in self.shards]
        self.table = np.concatenate([table for table, _ in tables])  # (N, 3): start, size, class
        self.first = np.cumsum([0, *(len(table) for table, _ in tables)])
        self.keys = [keys for _, keys in tables]
        if len(self.table) == 0:
            raise UserError(f'the shards {str(shards)!r} hold no images ({", ".join(EXTENSIONS)})')
        self.metainfo = {}
        if with_label:
            if (missing := int((self.table[:, 2] < 0).sum())) > 0:
                raise UserError(f'{missing:,} samples of {str(shards)!r} have no class (.cls, or label in .json)')
            self.metainfo = dict(classes=tuple(str(label) for label in range(self.table[:, 2].max() + 1)))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> np.ndarray:
        """Class of every image, (N,)."""
        return self.table[:, 2]

    def get_data_info(self, index: int) -> dict[str, Any]:
        """``img_path`` (shard, slash, name of the sample) and, with labels, ``gt_label``."""
        index = range(len(self))[index]
        shard = self._shard_of(index)
        key = self.keys[shard][index - self.first[shard]]
        info = dict(img_path=f'{self.shards[shard]}/{key.decode(errors="replace")}')
        return dict(info, gt_label=int(self.table[index, 2])) if self.with_label else info

    def __getitem__(self, index: int) -> dict[str, Any]:
        """:meth:`get_data_info` and ``img``, (H, W, 3) uint8 BGR.

        Raises:
            UserError: If the image cannot be decoded or is too large.
        """
        index = range(len(self))[index]
        start, size, _ = self.table[index]
        # pread keeps no position, which worker processes would share.
        content = os.pread(_open(self.shards[self._shard_of(index)]).fileno(), int(size), int(start))
        return dict(self.get_data_info(index), img=decode(content))

    def _shard_of(self, index: int) -> int:
        """Number of the shard that an image lies in."""
        return int(np.searchsorted(self.first, index, side='right')) - 1


@lru_cache(maxsize=64)
def _open(shard: str) -> Any:
    return open(shard, 'rb')  # closed when it leaves the cache


def _index(shard: str) -> tuple[np.ndarray, np.ndarray]:
    """Start, size and class of every image (N, 3) int64, and the names of the samples, from its file if it is valid."""
    path, status = Path(f'{shard}.index.npz'), os.stat(shard)
    state = np.array([1, status.st_size, status.st_mtime_ns])  # version 1
    try:
        with np.load(path, allow_pickle=False) as file:
            if np.array_equal(file['state'], state):
                return file['table'], file['keys']
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):  # none yet, or damaged
        pass
    samples = list(_samples(shard))
    table = np.array([place for place, _ in samples], np.int64).reshape(-1, 3)
    keys = np.array([key for _, key in samples], bytes)
    try:
        write_atomically(path, lambda file: np.savez(file, state=state, table=table, keys=keys))
    except UserError:  # a read-only folder
        pass
    return table, keys


def _samples(shard: str) -> Iterator[tuple[tuple[int, int, int], bytes]]:
    """(start, size, class) of the image of each sample, -1 for no class, and its name."""
    key, place, label = None, None, -1
    try:
        with tarfile.open(shard, 'r:') as archive:
            for member in archive:
                if not member.isreg():
                    continue
                folder, _, name = member.name.rpartition('/')
                stem, _, extension = name.partition('.')
                if (folder, stem) != key:
                    if place is not None:
                        yield (*place, label), os.fsencode('/'.join(filter(None, key)))
                    key, place, label = (folder, stem), None, -1
                extension = extension.lower()
                if f'.{extension}' in EXTENSIONS:
                    place = member.offset_data, member.size
                elif extension in ('cls', 'json'):
                    label = _label(archive.extractfile(member).read(), extension, label)
        if place is not None:
            yield (*place, label), os.fsencode('/'.join(filter(None, key)))
    except (tarfile.TarError, IsADirectoryError) as error:
        raise UserError(f'{shard} is not an uncompressed tar file, or is truncated: {error}') from error


def _label(content: bytes, extension: str, before: int) -> int:
    try:
        value = int(content) if extension == 'cls' else json.loads(content).get('label', before)
    except (ValueError, AttributeError):
        return before
    return value if isinstance(value, int) and value >= 0 else before
