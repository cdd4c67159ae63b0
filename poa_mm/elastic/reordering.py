"""Sorts the units of a network by importance, so that its leading slices keep the important ones.

A permutation of the channels of the residual stream, of the heads of an attention or of the hidden units of a
feed-forward network does not change what the network computes, if every parameter that has them as an axis is permuted
alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Member(NamedTuple):
    """A parameter that has the units along one of its axes.

    Args:
        name: Of the parameter.
        axis: The units' axis; its length is groups x units x entries of a unit.
        groups: Equal groups along the axis, each with all units (3 for a fused qkv).
        gate: Whether a factor on all gate members of a unit is a factor on what the network reads of the unit.
    """

    name: str
    axis: int
    groups: int = 1
    gate: bool = False


class Units(NamedTuple):
    """Units that can change places: channels, heads or hidden units.

    Args:
        name: For messages.
        number: How many.
        members: Every parameter that has them.
    """

    name: str
    number: int
    members: Sequence[Member]


def unit_rows(tensor: Tensor, member: Member, number: int) -> Tensor:
    """The entries of a parameter that belong to each unit: ``(number, entries)``."""
    tensor = tensor.movedim(member.axis, 0).unflatten(0, (member.groups, number, -1))
    return tensor.movedim(1, 0).flatten(1)


def magnitude(units: Units, weights: Mapping[str, Tensor]) -> Tensor:
    """Importance ``(number,)`` by size: a unit's sum of squares, each parameter scaled to a mean square of 1."""
    total = torch.zeros(units.number, dtype=torch.float64)
    for member in units.members:
        squares = unit_rows(weights[member.name], member, units.number).double().square()
        total += squares.sum(1) / squares.mean().clamp(min=1e-30)
    return total


def gate_gradients(units: Units, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> Tensor:
    """Derivatives ``(number,)`` by factors of 1 on the units: sums of weight times gradient over the gate members."""
    total = torch.zeros(units.number, dtype=torch.float64)
    for member in units.members:
        if member.gate and gradients.get(member.name) is not None:
            product = weights[member.name] * gradients[member.name]
            total += unit_rows(product, member, units.number).double().sum(1)
    return total


def permute_units(tensor: Tensor, member: Member, order: Tensor) -> Tensor:
    """The parameter with its units in this order (indices into the old one)."""
    axis = member.axis % tensor.ndim
    parts = tensor.unflatten(axis, (member.groups, len(order), -1))
    return parts.index_select(axis + 1, order).flatten(axis, axis + 2)
