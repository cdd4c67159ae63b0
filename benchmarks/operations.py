"""Operations of a step, and how fast the machine does such operations when it does nothing else."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from .stopwatch import Stopwatch

aten = torch.ops.aten

# Products are timed alone; attention is a chain of products inside one kernel and is only counted.
PRODUCTS = (aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution, aten.convolution_backward)
# PyTorch's registry lacks its attention on the CPU.
ATTENTION = {
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(
        q.shape, k.shape, v.shape
    ),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda g, q, k, v, *_, **__: sdpa_backward_flop_count(
        g.shape, q.shape, k.shape, v.shape
    ),
}


class Shape(tuple):
    """Size, strides and dtype of a tensor, in a call that is kept to be repeated."""


class OperationCounter(TorchDispatchMode):
    """Counts floating-point operations (a multiplication and an addition are two) and keeps the products.

    Attributes:
        operations (Counter): Operations by kind.
        products (dict): For every different product the number of calls and the operations of one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.products: dict[tuple, list[int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        kind = func.overloadpacket
        if kind in ATTENTION:
            self.operations[kind.__name__] += ATTENTION[kind](*args)
        elif kind in flop_registry:
            count = flop_registry[kind](*args, **kwargs, out_val=out)
            self.operations[kind.__name__] += count
            if kind in PRODUCTS:
                shaped = tree_map_only(Tensor, lambda t: Shape((t.shape, t.stride(), t.dtype)), (args, kwargs))
                entry = self.products.setdefault((func, repr(shaped)), [shaped, 0, count])
                entry[1] += 1
        return out


def product_rate(counter: OperationCounter, device: torch.device, repeats: int = 5) -> float:
    """Operations per second of the products of a step, each timed alone and counted as often as it occurred.

    Args:
        counter: What was counted.
        device: Where to run.
        repeats: Runs of every product, of which the median counts.
    """
    seconds = operations = 0
    for (func, _), (shaped, calls, count) in counter.products.items():
        args, kwargs = tree_map_only(Shape, lambda shape: _random(shape, device), shaped)
        seconds += calls * _median_seconds(lambda f=func, a=args, k=kwargs: f(*a, **k), device, repeats)
        operations += calls * count
    return operations / seconds


def square_product_rate(size: int, dtype: torch.dtype, device: torch.device, repeats: int = 5) -> float:
    """Operations per second of one square product: what the machine does at its best."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _median_seconds(lambda: a @ b, device, repeats)


def _random(shape: Shape, device: torch.device) -> Tensor:
    size, stride, dtype = shape
    if any(step == 0 for step in stride):  # an expanded tensor cannot be written to
        return torch.randn(size, device=device).to(dtype)
    return torch.empty_strided(size, stride, dtype=dtype, device=device).normal_()


def _median_seconds(function, device: torch.device, repeats: int) -> float:
    watch = Stopwatch(device)
    function()
    marks = [watch.mark()]
    for _ in range(repeats):
        function()
        marks.append(watch.mark())
    times = sorted(watch.seconds(*pair) for pair in zip(marks, marks[1:]))
    return times[len(times) // 2]
