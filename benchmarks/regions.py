"""What is compiled in a traced step: regions instead of kernels, to be joined by :mod:`benchmarks.fusion`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .fusion import Access


class Regions:
    """Takes the place of ``torch.compile``: each call is a region, and its backward pass another.

    Attributes:
        current: The region whose forward pass runs; ``None`` outside.
    """

    def __init__(self) -> None:
        self.current: tuple | None = None
        self._number = 0

    def compile(self, function: Callable, **options) -> Callable:
        """``torch.compile``."""
        return partial(self.call, function)

    def compile_module(self, module: nn.Module, **options) -> None:
        """``nn.Module.compile``."""
        module._compiled_call_impl = partial(self.call, module._call_impl)

    def is_compiling(self) -> bool:
        """``torch.compiler.is_compiling``."""
        return self.of_now() is not None

    def of_now(self) -> tuple | None:
        """The region of an operation that runs now, also in the backward pass."""
        node = torch._C._current_autograd_node()
        return self.current if self.current or node is None else node.metadata.get('region')

    def call(self, function: Callable, *args, **kwargs):
        """Run a compiled function."""
        if self.is_compiling():
            return function(*args, **kwargs)
        self._number += 1
        first = torch._C._autograd._get_sequence_nr()
        self.current = (self._number, 'forward')
        try:
            out = function(*args, **kwargs)
        finally:
            self.current = None
        pending = [t.grad_fn for t in tree_leaves(out) if isinstance(t, Tensor) and t.grad_fn is not None]
        while pending:
            node = pending.pop()
            # Gradients of parameters are summed outside of what is compiled.
            if 'region' in node.metadata or node._sequence_nr() < first or node.name().endswith('AccumulateGrad'):
                continue
            node.metadata['region'] = (self._number, 'backward')
            pending += [parent for parent, _ in node.next_functions if parent is not None]
        return out


class Values:
    """Numbers what tensors hold, by memory: an operation that changes it in place makes another value."""

    def __init__(self) -> None:
        self._made = 0
        self._held: dict[int, int] = {}

    def read(self, tensor: Tensor, size: int) -> Access:
        """The access that reads a tensor of ``size`` bytes."""
        memory = tensor.untyped_storage()
        if id(memory) not in self._held:
            weakref.finalize(memory, self._held.pop, id(memory), None).atexit = False
            self._new(memory)
        part = (tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()))
        return Access(self._held[id(memory)], part, size)

    def write(self, tensor: Tensor, size: int) -> Access:
        """The access that writes it."""
        self.read(tensor, size)
        self._new(tensor.untyped_storage())
        return self.read(tensor, size)

    def _new(self, memory: torch.UntypedStorage) -> None:
        self._made += 1
        self._held[id(memory)] = self._made
