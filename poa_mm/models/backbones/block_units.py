"""What can be reordered in a Transformer, and which parameters that concerns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from poa_mm.elastic.reordering import Member, Units


class Branch(NamedTuple):
    """The last linear layer of a residual branch: a factor on it is a factor on the branch.

    Args:
        layer: Name of the layer.
        scale: Name of the LayerScale's weight that follows; it may not exist.
    """

    layer: str
    scale: str


def norm_members(*norms: str) -> list[Member]:
    """The affine parameters of norms over the channels, by which a network reads them."""
    return [Member(f'{norm}.{part}', 0, gate=True) for norm in norms for part in ('weight', 'bias')]


def block_channels(block: str, norms: tuple[str, str], attention: str) -> list[Member]:
    """The parameters of a block that have the channels of the residual stream.

    Args:
        block: Prefix of the block (``'layers.0.'``).
        norms: Names of its two norms.
        attention: Name of the module with ``qkv`` and ``proj``.
    """
    inputs = (f'{attention}.qkv', 'ffn.layers.0.0', 'ffn.w12')
    outputs = (f'{attention}.proj', 'ffn.layers.1', 'ffn.w3')
    return [
        *norm_members(*(block + norm for norm in norms)),
        *(Member(f'{block}{name}.weight', 1) for name in inputs),
        *(Member(f'{block}{name}.{part}', 0) for name in outputs for part in ('weight', 'bias')),
        *(Member(f'{block}{name}.weight', 0) for name in ('attn.gamma1', 'ffn.gamma2')),
    ]


def block_units(block: str, attention: str, heads: int, parameters: Mapping[str, Tensor]) -> list[Units]:
    """The heads and the hidden units of a block."""
    attention = block + attention
    head_members = [
        Member(f'{attention}.qkv.weight', 0, groups=3),
        Member(f'{attention}.qkv.bias', 0, groups=3),
        Member(f'{attention}.relative_position_bias_table', 1),
        Member(f'{attention}.proj.weight', 1, gate=True),
    ]
    first, groups, last = ('w12', 2, 'w3') if f'{block}ffn.w3.weight' in parameters else ('layers.0.0', 1, 'layers.1')
    hidden_members = [
        Member(f'{block}ffn.{first}.weight', 0, groups),
        Member(f'{block}ffn.{first}.bias', 0, groups),
        Member(f'{block}ffn.{last}.weight', 1, gate=True),
    ]
    hidden = parameters[f'{block}ffn.{last}.weight'].shape[1]
    return [
        make_units(f'heads of {block[:-1]}', heads, head_members, parameters),
        make_units(f'hidden units of {block[:-1]}', hidden, hidden_members, parameters),
    ]


def block_branches(block: str, attention: str, parameters: Mapping[str, Tensor]) -> list[Branch]:
    """The two residual branches of a block."""
    last = 'ffn.w3' if f'{block}ffn.w3.weight' in parameters else 'ffn.layers.1'
    return [
        Branch(f'{block}{attention}.proj', f'{block}attn.gamma1.weight'),
        Branch(block + last, f'{block}ffn.gamma2.weight'),
    ]


def make_units(name: str, number: int, members: Iterable[Member], parameters: Mapping[str, Tensor]) -> Units:
    """Units with those members that the network has."""
    return Units(name, number, [member for member in members if member.name in parameters])
