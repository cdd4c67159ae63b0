"""How a weight is cut to a sub-network: one rule, used by the layers and by extraction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from .space import Subnet, SubnetSpace


class SliceRule(NamedTuple):
    """Which part of one parameter a sub-network owns.

    Every elastic axis is proportional to the network's width, so a width of ``size`` out of ``full`` keeps
    the leading ``size / full`` of each.

    Args:
        axes: The elastic axes.
        groups: Equal groups along axis 0 that are cut one by one (3 for a fused qkv).
        scaled: Whether the slice is multiplied by ``full / size``, for the inputs that it lacks (POA, eq. 1).
    """

    axes: tuple[int, ...]
    groups: int = 1
    scaled: bool = False


def slice_tensor(tensor: Tensor, rule: SliceRule, size: int, full: int) -> Tensor:
    """The leading ``size / full`` of the elastic axes, unscaled; a view unless there are groups.

    At full size the tensor itself.
    """
    if size == full:
        return tensor
    grouped = rule.groups > 1
    if grouped:
        tensor = tensor.unflatten(0, (rule.groups, -1))
    for axis in rule.axes:
        axis += grouped
        assert tensor.shape[axis] * size % full == 0, (tensor.shape, axis, size, full)
        tensor = tensor.narrow(axis, 0, tensor.shape[axis] * size // full)
    return tensor.flatten(0, 1) if grouped else tensor


def collect_slice_rules(module: nn.Module) -> dict[str, SliceRule]:
    """The rules of all parameters of a network, by name; those without a rule are never cut.

    A module states the rules of its own parameters in its attribute ``slice_rules``.
    """
    return {
        f'{prefix}.{name}'.lstrip('.'): rule
        for prefix, child in module.named_modules()
        for name, rule in getattr(child, 'slice_rules', {}).items()
    }


def rename_blocks(
    names: Iterable[str], space: SubnetSpace, subnet: Subnet, block_prefixes: Sequence[str]
) -> dict[str, str]:
    """The names that a sub-network's parameters have as an ordinary network: without its skipped blocks, renumbered.

    Args:
        names: Parameters of the intact network.
        space: The space of the intact network.
        subnet: A member of the space.
        block_prefixes: For every stage, what precedes the block's index (``'layers.'``).

    Returns:
        New names by the old ones; parameters of skipped blocks are left out.
    """
    numbers = [{old: new for new, old in enumerate(b)} for b in space.active_blocks(subnet)]
    renamed = {}
    for name in names:
        new_name = name
        for prefix, renumbered in zip(block_prefixes, numbers, strict=True):
            match = re.match(re.escape(prefix) + r'(\d+)(\..*)', name)
            if match:
                index = renumbered.get(int(match[1]))
                new_name = None if index is None else f'{prefix}{index}{match[2]}'
        if new_name is not None:
            renamed[name] = new_name
    return renamed


def slice_state_dict(
    state_dict: Mapping[str, Tensor],
    slice_rules: Mapping[str, SliceRule],
    space: SubnetSpace,
    subnet: Subnet,
    block_prefixes: Sequence[str],
) -> dict[str, Tensor]:
    """The weights of a sub-network as an ordinary network's: cut, scales folded in, blocks renumbered.

    Args:
        state_dict: The intact network's weights.
        slice_rules: From :func:`collect_slice_rules`.
        space: The space of the intact network.
        subnet: A member of the space.
        block_prefixes: As in :func:`rename_blocks`.

    Returns:
        New tensors that share no memory with ``state_dict``.
    """
    full, size = space.intact.width, subnet.width
    result = {}
    for name, new_name in rename_blocks(state_dict, space, subnet, block_prefixes).items():
        tensor = state_dict[name]
        if name in slice_rules:
            tensor = slice_tensor(tensor, slice_rules[name], size, full)
            if slice_rules[name].scaled:
                tensor = tensor * (full / size)
        result[new_name] = tensor.detach().clone().contiguous()
    return result
