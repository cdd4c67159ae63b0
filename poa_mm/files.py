"""Files: read without running anything that they name, written whole or not at all.

MMEngine's checkpoints also hold objects (the history of the log), which ``torch.load(weights_only=True)``
refuses. Here every class that is neither a tensor nor a plain container becomes an inert stand-in.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from poa_mm.errors import UserError


class Inert(dict):
    """Stands in for an object that is not wanted; takes whatever pickle gives it."""

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
    """Resolves the names that tensors are made of, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        rebuilds_tensor = module == 'torch._utils' and name in REBUILDS_TENSOR
        tensor_part = module == 'torch' and (
            name in ('Size', 'device') or isinstance(getattr(torch, name, None), torch.dtype)
        )
        if rebuilds_tensor or tensor_part or (module, name) == ('collections', 'OrderedDict'):
            return super().find_class(module, name)
        return Inert


INERT_PICKLE = SimpleNamespace(Unpickler=InertUnpickler, load=pickle.load, __name__='pickle')


def load_weights(path: str | Path) -> dict:
    """The contents of a file that ``torch.save`` wrote, tensors mapped from the disk.

    Parts that are not looked at (the optimizer's state) are not read.

    Raises:
        UserError: If there is no such file.
        UserError: If it is no PyTorch file, or does not hold a dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'checkpoint {str(path)!r} does not exist')
    if not zipfile.is_zipfile(path):
        raise UserError(f'{path} is no checkpoint: not a file of PyTorch, or cut short')
    try:
        contents = torch.load(path, map_location='cpu', weights_only=False, mmap=True, pickle_module=INERT_PICKLE)
    except Exception as error:  # damaged pickles raise anything
        reason = str(error).partition('\n')[0]
        raise UserError(f'{path} is no checkpoint that PyTorch can read: {reason}') from error
    if not isinstance(contents, dict) or isinstance(contents, Inert):
        raise UserError(f'{path} is no checkpoint: it holds a {type(contents).__name__}')
    return contents


def differing_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Iterator[tuple[str, str, str]]:
    """Names of weights of other shapes than expected, with both shapes as text; ``missing`` where one has none."""
    for name in dict.fromkeys([*expected, *found]):
        shapes = [str(tuple(weights[name].shape)) if name in weights else 'missing' for weights in (found, expected)]
        if shapes[0] != shapes[1]:
            yield name, *shapes


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` with a neighbouring file, then rename it: ``path`` is never half written."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
