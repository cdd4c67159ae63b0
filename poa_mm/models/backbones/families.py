"""Finds the family of an ordinary network: by its type, by the network itself, or by its parameter names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from poa_mm.errors import UserError

from .base import FAMILIES, ElasticBackbone
from .layer_depth import LayerDepths


def find_family(static: Mapping[str, Any]) -> type[ElasticBackbone]:
    """The family of the network that a config describes.

    Args:
        static: Config of an ordinary backbone of any toolbox.

    Raises:
        UserError: If no registered family has networks of this type.
    """
    family = FAMILIES.get(_class_name(static.get('type')))
    if family is None:
        raise UserError(
            f'{static.get("type")} is not a network of a known family, which are {", ".join(known_families())}; if it '
            'is from outside poa_mm, also give a config file that has it in custom_imports'
        )
    return family


def describe_static(static: Mapping[str, Any]) -> dict[str, Any]:
    """``family``, ``width`` and ``depth`` of the network that a config describes; empty if they are not known."""
    family = FAMILIES.get(_class_name(static.get('type')))
    try:
        size = family.static_size(static) if family else None
    except (KeyError, TypeError):  # the name of a published size, or another architecture in the same class
        return {}
    return dict(family=family.family, width=size[0], depth=size[1]) if size else {}


def family_of(network: nn.Module) -> tuple[type[ElasticBackbone] | None, str]:
    """The family of a network, ``None`` if unknown, and the type of the toolbox's class that it is.

    Subclasses of a toolbox's class are networks of its family.
    """
    for base in type(network).__mro__:
        if base.__name__ in FAMILIES:
            return FAMILIES[base.__name__], f'{base.__module__.partition(".")[0]}.{base.__name__}'
    return None, type(network).__name__


def find_layer_depths(names: Iterable[str], fine_tuning: bool = False) -> LayerDepths | None:
    """Layer ids of a network with these parameters; ``None`` if they are not those of a registered family."""
    names = list(names)
    for family in FAMILIES.values():
        if all(any(mark in name for name in names) for mark in family.layer_names.marks):
            return LayerDepths(family.layer_names, names, fine_tuning)
    return None


def known_families() -> list[str]:
    """Names of the registered families."""
    return list(dict.fromkeys(family.family for family in FAMILIES.values()))


def _class_name(type_: Any) -> str:
    return str(type_).rpartition('.')[2]
