"""Backbones of mmdet: maps."""

from poa_mm.elastic import Subnet
from poa_mm.models.backbones import ElasticBackbone

# Its own loader skips silently whatever does not begin with ``backbone.``.
PREFIXED = ('mmdet.SwinTransformer',)


def network(backbone: ElasticBackbone, subnet: Subnet) -> dict:
    """Config of the network."""
    return backbone.dense_config(subnet, 'mmdet')


def weights(backbone: ElasticBackbone, subnet: Subnet, extracted: dict) -> dict:
    """Without what maps do not go through, under the names that the network's loader takes."""
    prefix = 'backbone.' if network(backbone, subnet)['type'] in PREFIXED else ''
    return {prefix + name: value for name, value in extracted.items() if name not in backbone.image_only}
