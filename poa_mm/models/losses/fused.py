"""Functions over all logits of a head, which are compiled where the step is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps

import torch

_on = ContextVar('fused', default=False)
_compiled: dict[Callable, Callable] = {}


@contextmanager
def fusing(on: bool) -> Iterator[None]:
    """Within it, losses and targets run as compiled kernels that read each logit once, or as they are."""
    before = _on.set(on)
    try:
        yield
    finally:
        _on.reset(before)


def is_fusing() -> bool:
    """Whether :func:`fusing` is on. Backward passes run elsewhere: the forward pass keeps it for them."""
    return _on.get()


def fused(function: Callable) -> Callable:
    """A function with an attribute ``compiled``: the same, compiled at its first call, for tensors of any size."""

    @wraps(function)
    def compiled(*args):
        if function not in _compiled:
            _compiled[function] = torch.compile(function, dynamic=True)
        return _compiled[function](*args)

    function.compiled = compiled
    return function
