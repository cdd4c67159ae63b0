"""What the conversions to timm and transformers share: names by rules, and the tensors whose layout differs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.models.backbones import find_family

Rules = Sequence[tuple[str, str | None]]


def family_name(network: ExtractedNetwork) -> str:
    """``'VisionTransformer'``, ``'SwinTransformer'`` or ``'ResNet'``."""
    return find_family(network.config).family


def check_family(network: ExtractedNetwork, conversions: Mapping[str, object], format: str) -> None:
    """Refuse a family without a conversion."""
    family = family_name(network)
    if family not in conversions:
        raise UserError(f'format {format!r} has {", ".join(conversions)}, not {family}')


def rename(weights: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """The weights under other names.

    Args:
        weights: By name.
        rules: Pattern of a whole name, and what replaces it (``None`` leaves the weight out); the first that matches
            counts.

    Raises:
        KeyError: If no pattern matches a name.
    """
    renamed = {}
    for name, value in weights.items():
        for pattern, replacement in rules:
            if match := re.fullmatch(pattern, name):
                if replacement is not None:
                    renamed[match.expand(replacement)] = value
                break
        else:
            raise KeyError(f'no rule for the weight {name}')
    return renamed


def merging_by_neighbour(value: Tensor) -> Tensor:
    """Weight of a patch merging whose inputs go channel by channel to one whose inputs go neighbour by neighbour.

    mmpretrain unfolds: input ``4 c + 2 row + column`` is channel ``c`` of a neighbour. timm and transformers
    concatenate the four neighbours in the order top left, bottom left, top right, bottom right.

    Args:
        value: ``(..., 4 C)``: the norm's weight or bias, or the weight of the reduction.
    """
    return value.unflatten(-1, (-1, 2, 2)).movedim((-1, -2, -3), (-3, -2, -1)).flatten(-3).contiguous()


def split_qkv(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every ``...qkv.weight`` and ``bias`` as three: ``...query``, ``key`` and ``value``."""
    split = {}
    for name, value in weights.items():
        if '.qkv.' not in name:
            split[name] = value
            continue
        for part, piece in zip(('query', 'key', 'value'), value.chunk(3)):
            split[name.replace('.qkv.', f'.{part}.')] = piece.contiguous()
    return split
