"""Files: read without executing anything in them, written completely or not at all.

MMEngine's checkpoints also hold objects (the history of the log), which ``torch.load(weights_only=True)``
refuses. Here every class other than tensors and plain containers is replaced by an inert object.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import torch
from torch import Tensor

from poa_mm.errors import UserError


class Inert(dict):
    """Replaces an object that is not needed; accepts any state that pickle gives it."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass

    __hash__ = object.__hash__


# Whole names: since protocol 4 a name may have dots, and the attributes of a function lead to everything.
REBUILDS_TENSOR = ('_rebuild_tensor_v2', '_rebuild_tensor_v3', '_rebuild_parameter', '_rebuild_parameter_with_state')


class InertUnpickler(pickle.Unpickler):
    """Resolves only the names that tensors are made of."""

    def find_class(self, module: str, name: str) -> Any:
        rebuilds_tensor = module == 'torch._utils' and name in REBUILDS_TENSOR
        tensor_part = module == 'torch' and (
            name in ('Size', 'device') or isinstance(getattr(torch, name, None), torch.dtype)
        )
        if rebuilds_tensor or tensor_part or (module, name) == ('collections', 'OrderedDict'):
            return super().find_class(module, name)
        return Inert


INCOMPLETE = '.incomplete'
INERT_PICKLE = SimpleNamespace(Unpickler=InertUnpickler, load=pickle.load, __name__='pickle')


def load_weights(path: str | Path) -> dict:
    """Load a file written by ``torch.save``, its tensors memory-mapped.

    Tensors that are never used (the optimizer's state) are not read from the disk.

    Raises:
        UserError: If the file does not exist.
        UserError: If it is not a PyTorch file, or does not hold a dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'checkpoint {str(path)!r} does not exist')
    if not zipfile.is_zipfile(path):
        raise UserError(f'{path} is not a PyTorch checkpoint, or is truncated')
    try:
        contents = torch.load(path, map_location='cpu', weights_only=False, mmap=True, pickle_module=INERT_PICKLE)
    except Exception as error:  # damaged pickles raise anything
        reason = str(error).partition('\n')[0]
        raise UserError(f'{path} is a checkpoint that PyTorch cannot read: {reason}') from error
    if not isinstance(contents, dict) or isinstance(contents, Inert):
        raise UserError(f'{path} is not a checkpoint: it holds a {type(contents).__name__}, not a dict')
    return contents


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
