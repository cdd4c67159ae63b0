"""Files: read without executing anything in them, written completely or not at all.

MMEngine's checkpoints also hold objects (the history of the log), which ``torch.load(weights_only=True)``
refuses. Here :mod:`poa_mm.files.unpickling` reads them.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from poa_mm.errors import UserError, not_found
from poa_mm.files.unpickling import INERT_PICKLE, Inert

INCOMPLETE = '.incomplete'


def load_weights(path: str | Path, map_location: Any = 'cpu') -> dict:
    """Load a file written by ``torch.save``, its tensors memory-mapped, or a ``.safetensors``.

    Tensors that are never used (the optimizer's state) are not read from the disk. Objects that are neither tensors
    nor plain containers are :class:`~poa_mm.files.unpickling.Inert`.

    Args:
        path: The file.
        map_location: As of ``torch.load``.

    Raises:
        UserError: If the file does not exist.
        UserError: If it is not a PyTorch file, or does not hold a dict.
        UserError: If its ``state_dict`` holds anything but tensors.
    """
    if not Path(path).is_file():
        raise UserError(f'checkpoint {not_found(path)}')
    path = Path(path)
    if path.suffix == '.safetensors':
        return _load_safetensors(path, map_location)
    _check_archive(path)
    try:
        contents = torch.load(
            path, map_location=map_location, weights_only=False, mmap=True, pickle_module=INERT_PICKLE
        )
    except Exception as error:  # damaged pickles raise anything
        reason = str(error).partition('\n')[0]
        raise UserError(f'{path} is a checkpoint that PyTorch cannot read: {reason}') from error
    if not isinstance(contents, dict) or isinstance(contents, Inert):
        raise UserError(f'{path} is not a checkpoint: it holds a {_kind(contents)}, not a dict')
    _check_tensors(path, contents.get('state_dict', {}))
    return contents


def _load_safetensors(path: Path, map_location: Any) -> dict:
    """Weights as ``state_dict``, and as ``meta`` what ``poa extract`` wrote into the metadata of a file of its own."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise UserError(f"{path} needs safetensors: pip install 'poa_mm[export]'") from None
    try:
        with safe_open(path, framework='pt') as file:
            meta = json.loads((file.metadata() or {}).get('poa_mm', '{}'))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError) as error:
        raise UserError(f'{path} is not a safetensors file: {error}') from error
    if not isinstance(meta, dict):
        raise UserError(f'{path} is not a safetensors file of poa_mm: its metadata is not a dict')
    if map_location is not None:
        weights = {name: value.to(map_location) for name, value in weights.items()}
    return dict(meta=meta, state_dict=weights)


def _check_tensors(path: Path, weights: Any) -> None:
    """Refuse weights that are other objects, so that their readers need not."""
    if isinstance(weights, Inert) or not isinstance(weights, dict):
        raise UserError(f'{path} is not a checkpoint: its state_dict is a {_kind(weights)}, not a dict')
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise UserError(f'{path} is not a checkpoint: its weight {name} is a {_kind(value)}, not a tensor')


def _kind(value: Any) -> str:
    return value.name if isinstance(value, Inert) else type(value).__name__


def _check_archive(path: Path) -> None:
    """Refuse what ``torch.load`` would read by other means, and what becomes larger than its file."""
    if not zipfile.is_zipfile(path):
        raise UserError(
            f'{path} is not a PyTorch checkpoint, or is truncated (one from before PyTorch 1.6 can be converted: '
            "torch.save(torch.load('OLD', weights_only=True), 'NEW'))"
        )
    try:
        members = zipfile.ZipFile(path).infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f'{path} is a damaged PyTorch checkpoint: {error}') from error
    if any(member.filename.rpartition('/')[2] == 'constants.pkl' for member in members):
        raise UserError(f'{path} is a TorchScript program, not a checkpoint')
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UserError(f'{path} is a compressed archive, which torch.save does not write')


def first_non_finite(weights: Mapping[str, Tensor]) -> str | None:
    """Name of a tensor that holds NaN or infinity, ``None`` if all are finite. Waits for the device once."""
    floats = {name: value for name, value in weights.items() if value.is_floating_point()}
    if not floats:
        return None
    finite = torch.stack([value.isfinite().all() for value in floats.values()]).tolist()
    return None if all(finite) else list(floats)[finite.index(False)]


def differing_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Iterator[tuple[str, str, str]]:
    """Names of weights of other shapes than expected, with both shapes as text; ``missing`` where one has none."""
    for name in dict.fromkeys([*expected, *found]):
        shapes = [str(tuple(weights[name].shape)) if name in weights else 'missing' for weights in (found, expected)]
        if shapes[0] != shapes[1]:
            yield name, *shapes


def write_atomically(path: str | Path, write: Callable[[BinaryIO], Any]) -> Path:
    """Write a file so that ``path`` is always either the old file or the complete new one, also after a power failure.

    Args:
        path: The file; its folder is created.
        write: Called with a temporary binary file in the same folder, which is then renamed.

    Returns:
        The path.

    Raises:
        UserError: If the machine cannot write it, for instance because the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}{INCOMPLETE}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # else a power failure may leave the new name without the data
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror or error}') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file with :func:`write_atomically`."""
    return write_atomically(path, lambda file: file.write(text.encode()))


def remove_incomplete(folder: str | Path, suffix: str) -> None:
    """Delete temporary files of :func:`write_atomically` that a killed process left for files ending in ``suffix``."""
    for path in Path(folder).glob(f'.*{suffix}.*{INCOMPLETE}'):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Write the folder's entry of a renamed file to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
