"""The operations of a step, and how fast the machine runs the same products when it does nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import flop_registry, register_flop_formula, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten

# Products are timed alone; attention is a chain of products inside one kernel and is only counted.
PRODUCTS = (aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution, aten.convolution_backward)


# PyTorch's registry lacks its attention on the CPU.
@register_flop_formula(aten._scaled_dot_product_flash_attention_for_cpu)
def _cpu_attention(query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


@register_flop_formula(aten._scaled_dot_product_flash_attention_for_cpu_backward)
def _cpu_attention_backward(grad, query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


class Shape(tuple):
    """Size, strides and dtype of a tensor, in place of it in a recorded call."""


@dataclass
class Product:
    """A product that occurred ``calls`` times with tensors of the same shapes, strides and dtypes."""

    function: torch._ops.OpOverload
    arguments: tuple = field(repr=False)
    flops: int
    calls: int = 0


class OperationCounter(TorchDispatchMode):
    """Counts floating-point operations (a multiplication and an addition are two) and records the products.

    ``FlopCounterMode`` counts the same but keeps no shapes, without which no product can be timed alone.

    Attributes:
        flops (dict[str, int]): Operations by kind.
        products (dict): Every different :class:`Product`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops: dict[str, int] = {}
        self.products: dict[tuple, Product] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        kind = func.overloadpacket
        if kind in flop_registry:
            flops = flop_registry[kind](*args, **(kwargs or {}), out_val=out)
            self.flops[kind.__name__] = self.flops.get(kind.__name__, 0) + flops
            if kind in PRODUCTS:
                shaped = tree_map_only(Tensor, lambda t: Shape((t.shape, t.stride(), t.dtype)), (args, kwargs or {}))
                self.products.setdefault((func, repr(shaped)), Product(func, shaped, flops)).calls += 1
        return out


def product_rate(counter: OperationCounter, device: torch.device, repeats: int = 3) -> float:
    """Operations per second of the products of a step, each timed alone and weighted by its number of calls.

    Args:
        counter: What was counted.
        device: Where to run.
        repeats: Runs of every product.
    """
    seconds = flops = 0
    for product in counter.products.values():
        args, kwargs = tree_map_only(Shape, lambda shape: _random(shape, device), product.arguments)
        seconds += product.calls * _seconds(product.function, args, kwargs, repeats)
        flops += product.calls * product.flops
    return flops / seconds


def square_product_rate(size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of one square product: the highest rate to expect of the machine."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _seconds(torch.mm, (a, b), {}, repeats=5)


def _random(shape: Shape, device: torch.device) -> Tensor:
    size, stride, dtype = shape
    if any(step == 0 for step in stride):  # an expanded tensor cannot be written to
        return torch.randn(size, device=device).to(dtype)
    return torch.empty_strided(size, stride, dtype=dtype, device=device).normal_()


def _seconds(function, args: tuple, kwargs: dict, repeats: int) -> float:
    call = dict(f=function, a=args, k=kwargs)
    return Timer('f(*a, **k)', globals=call, num_threads=torch.get_num_threads()).timeit(repeats).median
