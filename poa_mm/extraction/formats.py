"""The toolboxes that an extracted sub-network can be written for."""

from collections.abc import Mapping
from typing import TypeVar

from poa_mm.elastic import Subnet
from poa_mm.errors import UserError
from poa_mm.models.backbones import ElasticBackbone

FORMATS = ('mmpretrain', 'mmdet', 'mmseg')

Value = TypeVar('Value')


def network_config(backbone: ElasticBackbone, subnet: Subnet, format: str) -> dict:
    """Config of the ordinary network that a sub-network becomes in a toolbox.

    Args:
        backbone: The elastic network.
        subnet: A member of its space.
        format: ``'mmpretrain'`` (image features), ``'mmdet'`` or ``'mmseg'`` (maps).

    Raises:
        UserError: If the format is unknown, or the sub-network is too small for it.
    """
    if format not in FORMATS:
        raise UserError(f'format must be one of {list(FORMATS)}, got {format!r}')
    return backbone.static_config(subnet) if format == 'mmpretrain' else backbone.dense_config(subnet, format)


def network_weights(
    backbone: ElasticBackbone, subnet: Subnet, format: str, extracted: Mapping[str, Value]
) -> dict[str, Value]:
    """What belongs to that network, under the names that its loader expects.

    Args:
        backbone: The elastic network.
        subnet: A member of its space.
        format: As in :func:`network_config`.
        extracted: By the names of :meth:`ElasticBackbone.extract`: the weights, or one value for each.
    """
    skipped = () if format == 'mmpretrain' else backbone.image_only
    type_ = network_config(backbone, subnet, format)['type']
    return {backbone.saved_as(type_, name): value for name, value in extracted.items() if name not in skipped}
