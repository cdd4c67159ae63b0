"""Backbones of mmseg: maps."""

from poa_mm.elastic import Subnet
from poa_mm.models.backbones import ElasticBackbone


def network(backbone: ElasticBackbone, subnet: Subnet) -> dict:
    """Config of the network."""
    return backbone.dense_config(subnet, 'mmseg')


def weights(backbone: ElasticBackbone, subnet: Subnet, extracted: dict) -> dict:
    """Without what maps do not go through, so that the file holds just the network's weights."""
    return {name: value for name, value in extracted.items() if name not in backbone.image_only}
