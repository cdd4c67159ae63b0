"""Parameters and operations of every network of a space."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import mul
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from poa_mm.elastic import Subnet
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.registry import MODELS

from .extracted import count_params


class Complexity(NamedTuple):
    """What a network costs.

    Args:
        params: Parameters of the extracted network.
        macs: Multiply-accumulate operations for one image, counted as MMEngine's ``get_model_complexity_info`` does (a
            norm counts 5 for each element), and with the products of attention, which it leaves out where PyTorch's
            fused kernel computes them.
    """

    params: int
    macs: int


def space_complexity(backbone: ElasticBackbone, image_size: int) -> dict[Subnet, Complexity]:
    """Exact parameters and operations of every member of a space.

    Blocks of one stage and width cost the same, so a network of every width is counted at the smallest depth and with
    one more step of depth in each elastic stage; the rest are sums of these.

    Args:
        backbone: The elastic network, on any device.
        image_size: Side of the image in pixels.
    """
    space = backbone.space
    costs: dict[Subnet, Complexity] = {}
    for width in space.widths:
        members = {space.stage_depths(s): s for s in space if s.width == width}
        smallest = min(members, key=sum)
        base = network_complexity(backbone, members[smallest], image_size)
        per_block = []
        for stage, choices in enumerate(space.stages):
            if len(choices) == 1:
                per_block.append(Complexity(0, 0))
                continue
            deeper = tuple(choices[1] if i == stage else depth for i, depth in enumerate(smallest))
            cost = network_complexity(backbone, members[deeper], image_size)
            blocks = choices[1] - choices[0]
            per_block.append(Complexity(*((c - b) // blocks for c, b in zip(cost, base))))
        for depths, subnet in members.items():
            added = [depth - first for depth, first in zip(depths, smallest)]
            costs[subnet] = Complexity(*(b + sum(map(mul, added, k)) for b, k in zip(base, zip(*per_block))))
    return {subnet: costs[subnet] for subnet in space}


def network_complexity(backbone: ElasticBackbone, subnet: Subnet | str, image_size: int) -> Complexity:
    """Parameters and operations of one extracted network; nothing is computed, only shapes are propagated."""
    return Complexity(count_params(backbone, subnet), static_macs(backbone.static_config(subnet), image_size))


def static_macs(config: Mapping[str, Any], image_size: int) -> int:
    """Multiply-accumulate operations of an ordinary network for one image, by its config; see :class:`Complexity`."""
    with torch.device('meta'), _LinspaceOnCPU():
        network: nn.Module = MODELS.build({'_scope_': 'poa_mm', **config})
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=NORMS) as counter:
        network(torch.empty(1, 3, image_size, image_size, device='meta'))
    return counter.get_total_flops() // 2


class _LinspaceOnCPU(TorchFunctionMode):
    """OpenMMLab's Swin reads its drop-path rates out of a tensor, which the meta device cannot do."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs['device'] = 'cpu'
        return func(*args, **kwargs)


def _norm(shape: torch.Size, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * 5 * math.prod(shape)  # FlopCounterMode counts a multiply-accumulate as 2


def _pool(shape: torch.Size, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * math.prod(shape)


NORMS = {
    torch.ops.aten.native_layer_norm: _norm,
    torch.ops.aten.native_group_norm: _norm,
    torch.ops.aten._adaptive_avg_pool2d: _pool,
}
