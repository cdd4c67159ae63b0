"""The list of image files of a folder, kept in a cache that notices changes.

Millions of names as Python objects would take minutes to make and gigabytes in every worker. Here they are one array
of bytes, which worker processes share.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from poa_mm.errors import UserError
from poa_mm.files import write_atomically

from .decoding import EXTENSIONS

VERSION = 1
# A folder that changes within one tick of the file system's clock after it was read keeps its time.
TICK = 2_000_000_000  # ns


@dataclass(frozen=True)
class Manifest:
    """Image files of a folder and its sub-folders; folders and, within each, files are ordered by name.

    Hidden files and folders are left out. Files with other extensions are counted.

    Args:
        folders: Relative paths, ``''`` for the folder itself, as UTF-8 with a zero byte after each.
        times: When each folder was last changed, in ns.
        first: (folders + 1,) number of the first file of each folder, and the number of files.
        names: File names without folder, as ``folders``.
        ends: Where each name ends in ``names``.
        others: JSON, numbers of the other files by extension.
        read_at: When the scan began, in ns.
    """

    folders: np.ndarray
    times: np.ndarray
    first: np.ndarray
    names: np.ndarray
    ends: np.ndarray
    others: np.ndarray
    read_at: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    @classmethod
    def scan(cls, root: str | Path) -> Manifest:
        """Read all folders.

        Raises:
            FileNotFoundError: If the folder does not exist.
            NotADirectoryError: If it is a file.
        """
        read_at, others = time.time_ns(), Counter()
        read = sorted(_walk(os.fspath(root), others), key=lambda folder: folder[0].split('/'))
        names = np.frombuffer(b''.join(names for _, _, names, _ in read), np.uint8)
        return cls(
            folders=_packed([folder for folder, *_ in read]),
            times=np.array([changed for _, changed, *_ in read], np.int64),
            first=np.cumsum([0, *(number for *_, number in read)]),
            names=names,
            ends=np.flatnonzero(names == 0),
            others=np.frombuffer(json.dumps(others).encode(), np.uint8),
            read_at=np.array(read_at, np.int64),
        )

    @classmethod
    def open(cls, root: str | Path, cache: str | Path | None = None) -> Manifest:
        """The list from the cache if no folder has changed since, otherwise from a scan, which then fills the cache.

        Args:
            root: Folder of images.
            cache: Folder of lists; ``$XDG_CACHE_HOME/poa_mm`` if ``None``. Processes of one machine wait for the
                first of them. Where it cannot be written or locked, the list is made without it.

        Raises:
            FileNotFoundError: If the folder does not exist.
            NotADirectoryError: If it is a file.
        """
        root = Path(root).resolve()
        folder = Path(cache or Path(os.environ.get('XDG_CACHE_HOME', '~/.cache'), 'poa_mm')).expanduser()
        key = hashlib.sha256(json.dumps([VERSION, os.fspath(root), EXTENSIONS]).encode()).hexdigest()[:16]
        path = folder / f'{root.name}-{key}.npz'
        with _locked(path.with_suffix('.lock')):
            manifest = cls._load(path)
            if manifest is None or manifest.is_outdated(root):
                manifest = cls.scan(root)
                with suppress(UserError):  # a home that is read-only, a full disk
                    write_atomically(path, manifest._save)
            return manifest

    @classmethod
    def _load(cls, path: Path) -> Manifest | None:
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**file)
        except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile):
            return None  # none yet, or damaged

    def _save(self, file: io.BufferedIOBase) -> None:
        np.savez(file, **vars(self))

    def is_outdated(self, root: Path) -> bool:
        """Whether files or folders were added, removed or renamed since."""
        for folder, changed in zip(_unpacked(self.folders), self.times):
            try:
                now = os.stat(root / folder).st_mtime_ns
            except OSError:
                return True
            if now != changed or now > self.read_at - TICK:
                return True
        return False

    def name(self, index: int) -> str:
        """File name without folder."""
        start = self.ends[index - 1] + 1 if index else 0
        return os.fsdecode(self.names[start : self.ends[index]].tobytes())

    def folder_names(self) -> list[str]:
        """Relative paths of all folders."""
        return _unpacked(self.folders)

    def folder_of(self, index: int) -> int:
        """Number of the folder that a file lies in."""
        return int(np.searchsorted(self.first, index, side='right')) - 1

    def other_files(self) -> dict[str, int]:
        """Numbers of the files that are left out, by extension."""
        return json.loads(self.others.tobytes())


def _walk(root: str, others: Counter) -> Iterator[tuple[str, int, bytes, int]]:
    """Relative path, time of change, packed names of images and their number, for each folder."""
    waiting, seen = [''], set()
    while waiting:
        folder = waiting.pop()
        path = os.path.join(root, folder)
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            continue  # links may form a ring
        seen.add((status.st_dev, status.st_ino))
        names = []
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == '.':
                    continue
                if name.lower().endswith(EXTENSIONS):
                    names.append(name)
                elif entry.is_dir():
                    waiting.append(f'{folder}/{name}' if folder else name)
                else:
                    others[os.path.splitext(name)[1].lower()] += 1
        names.sort()
        yield folder, status.st_mtime_ns, os.fsencode('\0'.join(names) + '\0' if names else ''), len(names)


def _packed(names: list[str]) -> np.ndarray:
    return np.frombuffer(b''.join(os.fsencode(name) + b'\0' for name in names), np.uint8)


def _unpacked(names: np.ndarray) -> list[str]:
    return [os.fsdecode(name) for name in names.tobytes().split(b'\0')[:-1]]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for other processes; without a lock where there can be none (a read-only home, some network disks)."""
    with ExitStack() as stack:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context(open(path, 'w')), fcntl.LOCK_EX)
        yield
