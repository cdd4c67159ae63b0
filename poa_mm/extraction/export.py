"""Writes a sub-network as a standalone backbone of a toolbox."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poa_mm.elastic import Subnet
from poa_mm.models.backbones import ElasticBackbone

from .extracted import ExtractedNetwork
from .formats import network_weights


def export_subnet(
    backbone: ElasticBackbone,
    subnet: Subnet | str,
    out_dir: str | Path,
    source: Mapping[str, Any],
    format: str = 'mmpretrain',
) -> Path:
    """Write the weights of a sub-network and a config that uses them (POA, sec. 3.3).

    ``<name>.pth`` holds just the weights of the network that ``<name>.py`` describes, with no code of this project
    except for ResNets of sizes that the toolbox has no class for. See :class:`ExtractedNetwork`.

    Args:
        backbone: The elastic network.
        subnet: A member of its space; its name or size is the name of the files.
        out_dir: Folder to write to, made where it is missing.
        source: Where the weights came from, as :func:`load_pretrained` gives it.
        format: Toolbox: ``'mmpretrain'`` (image features), ``'mmdet'`` or ``'mmseg'`` (maps).

    Returns:
        The file with the weights.

    Raises:
        UserError: If the sub-network is not in the space, the format is unknown, or the sub-network is too small
            for it.
    """
    return extract_network(backbone, subnet, source, format).save(out_dir)


def extract_network(
    backbone: ElasticBackbone, subnet: Subnet | str, source: Mapping[str, Any], format: str = 'mmpretrain'
) -> ExtractedNetwork:
    """A sub-network with its weights, as :func:`export_subnet` writes it."""
    subnet = backbone.resolve(subnet)
    network = ExtractedNetwork.describe(backbone, subnet, format, source)
    weights = network_weights(backbone, subnet, format, backbone.extract(subnet))
    return dataclasses.replace(network, weights=weights)
