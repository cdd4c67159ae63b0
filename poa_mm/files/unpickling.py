"""Unpickling that calls nothing which the file chooses.

A pickle is a program: it names functions and calls them. Here a name leads to a tensor, a plain array of numbers,
MMEngine's history of a logged value, or an inert placeholder that keeps the name.
"""

from __future__ import annotations

import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

NUMBERS = re.compile(r'[biufc]\d{1,2}')  # NumPy's codes of booleans, integers, floats and complex numbers


class Inert(dict):
    """Stands in for an object that is not built; takes whatever a pickle gives it."""

    name = 'an object'

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    # A class with this method cannot be changed by a pickle either: the call without an instance fails.
    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass

    __hash__ = object.__hash__


class Dtype(Inert):
    """``numpy.dtype`` of numbers."""

    name = 'numpy.dtype'

    def __init__(self, code: str = '', *args) -> None:
        super().__init__()
        self.code, self.order = code, '='

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def read(self) -> np.dtype | None:
        """The real one, ``None`` if it is not of numbers."""
        if not NUMBERS.fullmatch(self.code):
            return None
        return np.dtype(self.code).newbyteorder(self.order)


class Array(Inert):
    """``numpy.ndarray``; ``value`` is the real one if it holds numbers, otherwise ``None``."""

    name = 'numpy.ndarray of objects'
    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, raw = state
        if isinstance(dtype, Dtype) and isinstance(raw, bytes) and (read := dtype.read()) is not None:
            value = np.frombuffer(raw, read).reshape(shape, order='F' if fortran else 'C')
            self.value = value.astype(read.newbyteorder('='))


class History(Inert):
    """MMEngine's ``HistoryBuffer``; ``state`` holds what it is made of."""

    name = 'mmengine.logging.HistoryBuffer'
    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state


class Calls:
    """One function; a pickle can call it but not change it."""

    __slots__ = ('function',)

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *args):
        return self.function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError('a function has no state')


def _scalar(dtype: Any, raw: Any = None) -> Any:
    if isinstance(dtype, Dtype) and isinstance(raw, bytes) and (read := dtype.read()) is not None:
        return np.frombuffer(raw, read, count=1)[0]
    return Inert()


def _encode(text: str, encoding: str = 'latin1') -> bytes:
    """How pickle's protocol 2 writes bytes."""
    return text.encode('latin1')


def _counter(counts: Any = None) -> Any:
    """Milestones of ``MultiStepLR``. Not the class itself, which a pickle could change."""
    return Counter(counts) if type(counts) is dict else Inert()


# Whole names: since protocol 4 a name may have dots, and the attributes of a function lead to everything.
CALLS = {
    ('torch._utils', name): Calls(getattr(torch._utils, name))
    for name in ('_rebuild_tensor_v2', '_rebuild_tensor_v3', '_rebuild_parameter', '_rebuild_parameter_with_state')
}
NUMPY = {
    (f'numpy.{core}.multiarray', name): Calls(function)
    for core in ('core', '_core')
    for name, function in (('_reconstruct', lambda *_: Array()), ('scalar', _scalar))
}
KNOWN = {
    **CALLS,
    **NUMPY,
    ('_codecs', 'encode'): Calls(_encode),
    ('numpy', 'dtype'): Dtype,
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): History,
    ('collections', 'OrderedDict'): OrderedDict,
    ('collections', 'Counter'): Calls(_counter),
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
}


class InertUnpickler(pickle.Unpickler):
    """Resolves the names that tensors and numbers are made of; every other becomes a subclass of :class:`Inert`."""

    def find_class(self, module: str, name: str) -> Any:
        """Called by pickle for every name in the file."""
        if (module, name) in KNOWN:
            return KNOWN[module, name]
        if module == 'torch' and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        return type('Inert', (Inert,), {'name': f'{module}.{name}'})


def _refuse(*args, **kwargs) -> None:
    raise pickle.UnpicklingError('not an archive')


INERT_PICKLE = SimpleNamespace(Unpickler=InertUnpickler, load=_refuse, __name__='pickle')


def settled(value: Any, where: str = '') -> Any:
    """Replace the placeholders of arrays and histories by the real ones.

    Args:
        value: What :class:`InertUnpickler` built.
        where: Its place in the file, for the message.

    Raises:
        UnreadableError: It contains another placeholder.
    """
    if isinstance(value, Array) and value.value is not None:
        return value.value
    if isinstance(value, History) and isinstance(value.state, dict):
        return _history(value.state, where)
    if isinstance(value, Inert):
        raise UnreadableError(f'{where or "the file"} holds {value.name}')
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, Inert):
                raise UnreadableError(f'{where} holds {key.name} as a key')
            value[key] = settled(item, f'{where}.{key}' if where else str(key))
        return value
    if isinstance(value, list):
        value[:] = [settled(item, where) for item in value]
        return value
    if type(value) in (tuple, set, frozenset):
        return type(value)(settled(item, where) for item in value)
    for name in inert_names(value):
        raise UnreadableError(f'{where} holds {name}')
    return value


class UnreadableError(ValueError):
    """A part of a file is an object that is not built."""


def inert_names(value: Any) -> Iterator[str]:
    """Names of the classes and functions that a value is instead of an object."""
    if isinstance(value, type) and issubclass(value, Inert):
        yield value.name
    elif isinstance(value, Calls):
        yield value.function.__name__


def _history(state: dict, where: str) -> Any:
    from mmengine.logging import HistoryBuffer  # not above: elastic networks are extracted without MMEngine

    log, count = (getattr(state.get(key), 'value', None) for key in ('_log_history', '_count_history'))
    if not (isinstance(log, np.ndarray) and isinstance(count, np.ndarray) and log.shape == count.shape):
        raise UnreadableError(f'{where} holds a history that is not of numbers')
    length = state.get('max_length')
    buffer = HistoryBuffer(max_length=length) if isinstance(length, int) else HistoryBuffer()
    buffer._log_history, buffer._count_history = log, count
    return buffer
