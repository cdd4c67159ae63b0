"""The networks of one comparison: pre-trained, extracted and untrained sub-networks, and raw pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from poa_mm.elastic import Subnet
from poa_mm.errors import UserError
from poa_mm.extraction import LoadedNetwork, count_params
from poa_mm.models.backbones import ElasticBackbone

from .features import Network, SubnetFeatures


@dataclass(frozen=True)
class Candidate:
    """A network that is compared with others.

    Args:
        kind: ``'pretrained'``, ``'extracted'``, ``'untrained'`` or ``'thumbnails'``.
        name: Of the sub-network (``'S'``, ``'576x15'``) or of the baseline.
        network: Turns normalised images (N, 3, S, S) into features (N, D).
        subnet: The sub-network, if it is one.
        params: Number of parameters.
        backbone: The elastic network with the sub-network, if it is one.
        file: That it was read from; empty if no other candidate has this kind and name.
    """

    kind: str
    name: str
    network: Network
    subnet: Subnet | None = None
    params: int = 0
    backbone: ElasticBackbone | None = None
    file: str = ''

    @property
    def key(self) -> str:
        return f'{self.kind} {self.name}' + (f' ({self.file})' if self.file else '')

    def record(self) -> dict:
        """Its entry in a result file."""
        record = dict(kind=self.kind, name=self.name, params=self.params)
        if self.subnet is not None:
            record.update(subnet=str(self.subnet), width=self.subnet.width, depth=self.subnet.depth)
        if self.backbone is not None:
            record['family'] = self.backbone.family
        if self.file:
            record['file'] = self.file
        return record


def gather_candidates(
    networks: Sequence[LoadedNetwork],
    subnets: Sequence[str],
    thumbnails: bool = False,
    device: torch.device | str = 'cpu',
) -> list[Candidate]:
    """The chosen sub-networks of elastic networks.

    Args:
        networks: Opened files; their backbones are moved to the device. An extracted one is a single network.
        subnets: What :meth:`SubnetSpace.select` takes.
        thumbnails: Whether to include raw pixels.
        device: Where the networks run.

    Raises:
        UserError: If a space does not have one of the sub-networks, or a file is given twice.
    """
    found = []
    for opened in networks:
        kind, backbone, file = opened.kind, opened.backbone.to(device).eval(), opened.source['file']
        for subnet in backbone.space.select(['intact'] if kind == 'extracted' else subnets):
            network = SubnetFeatures(backbone, subnet)
            params = count_params(backbone, subnet)
            found.append(Candidate(kind, backbone.space.name(subnet), network, subnet, params, backbone, file))
    found = name_apart(found)
    if thumbnails:
        found.append(Candidate('thumbnails', '8x8 pixels', thumbnail_features))
    return found


def name_apart(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, with their file only where another one has the kind and name, or they are extracted.

    Raises:
        UserError: If a file is given twice.
    """
    names = Counter((c.kind, c.name) for c in candidates)
    found = [c if names[c.kind, c.name] > 1 or c.kind == 'extracted' else replace(c, file='') for c in candidates]
    if len({candidate.key for candidate in found}) < len(found):
        raise UserError('a file is given twice')
    return found


def thumbnail_features(images: Tensor, size: int = 8) -> Tensor:
    """Raw pixels as features: images (N, 3, S, S) averaged to ``size x size``, (N, 3 size^2)."""
    return F.adaptive_avg_pool2d(images, size).flatten(1)
