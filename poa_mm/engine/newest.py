"""Finds the checkpoint from which an interrupted run continues."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import print_log

from poa_mm.errors import UserError
from poa_mm.files import load_weights

NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)(?:_iter_(\d+))?\.pth')


def newest_intact(work_dir: str | Path) -> Path | None:
    """The newest checkpoint of a folder that is complete, ``None`` if there are none at all.

    The folder is searched, not MMEngine's pointer ``last_checkpoint``, which may be missing, or name a file of the
    folder that this one was copied from. Only without ``iter_*.pth`` and ``epoch_*.pth`` is the pointer followed.

    Raises:
        UserError: If all checkpoints of the folder are damaged.
    """
    found = sorted(_numbered(Path(work_dir)), reverse=True) or list(_pointed(Path(work_dir)))
    for *_, path in found:
        damage = find_damage(path)
        if damage is None:
            return path
        print_log(f'{path} is damaged ({damage}): trying an older checkpoint', 'current', logging.WARNING)
    if found:
        raise UserError(
            f'cannot resume: all {len(found)} checkpoints in {work_dir} are damaged; of {path.name}: '
            f'{damage}; remove them to start anew'
        )
    return None


def checkpoint_before(work_dir: str | Path, step: int) -> Path | None:
    """The newest checkpoint ``iter_N.pth`` from before a step; ``None``: the run starts at its first step."""
    found = (file for file in _numbered(Path(work_dir)) if file[-1].name.startswith('iter_') and file[0] < step)
    return max(found, default=(None,))[-1]


def find_damage(path: str | Path) -> str | None:
    """Read a whole checkpoint and compare it with its checksums.

    ``torch.save`` writes a zip archive with the CRC-32 of each member, which ``torch.load`` does not compare.

    Returns:
        What is wrong, ``None`` if nothing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith('data.pkl') for name in archive.namelist()):
                return 'not a checkpoint of PyTorch'
            member = archive.testzip()
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        return str(error).partition('\n')[0]
    if member is not None:
        return f'wrong checksum of {member}'
    try:
        load_weights(path)
    except UserError as error:
        return str(error)
    return None


def _numbered(folder: Path) -> Iterator[tuple[int, int, float, Path]]:
    """Number, iterations within an epoch, time and path of each; ``epoch_3_iter_70.pth`` is newer than ``epoch_3.pth``.

    The time decides between ``iter_5.pth`` and ``epoch_5.pth``.
    """
    for path in folder.glob('*.pth'):
        if match := NUMBERED.fullmatch(path.name):
            yield int(match[1]), int(match[2] or 0), path.stat().st_mtime, path


def _pointed(folder: Path) -> Iterator[tuple[Path]]:
    pointer = folder / 'last_checkpoint'
    if not pointer.is_file():
        return
    path = Path(pointer.read_text(errors='replace').strip())
    if not path.is_file():
        raise UserError(f'cannot resume: checkpoint {str(path)!r}, which {pointer} names, does not exist')
    yield (path,)
