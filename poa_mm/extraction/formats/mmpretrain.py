"""Backbones of mmpretrain: image features."""

from poa_mm.elastic import Subnet
from poa_mm.models.backbones import ElasticBackbone


def network(backbone: ElasticBackbone, subnet: Subnet) -> dict:
    """Config of the network."""
    return backbone.static_config(subnet)


def weights(backbone: ElasticBackbone, subnet: Subnet, extracted: dict) -> dict:
    """The extracted weights as they are."""
    return extracted
