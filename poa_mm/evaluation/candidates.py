"""The networks of one comparison: pre-trained and untrained sub-networks, and raw pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from poa_mm.elastic import Subnet
from poa_mm.extraction import count_params
from poa_mm.models.backbones import ElasticBackbone

from .features import Network


@dataclass(frozen=True)
class Candidate:
    """A network that is compared with others.

    Args:
        kind: ``'pretrained'``, ``'untrained'`` or ``'thumbnails'``.
        name: Of the sub-network (``'S'``, ``'576x15'``) or of the baseline.
        network: Turns normalised images (N, 3, S, S) into features (N, D).
        subnet: The sub-network, where it is one.
        params: Number of parameters.
    """

    kind: str
    name: str
    network: Network
    subnet: Subnet | None = None
    params: int = 0

    @property
    def key(self) -> str:
        return f'{self.kind} {self.name}'

    def record(self) -> dict:
        """What a result file says of it."""
        record = dict(kind=self.kind, name=self.name, params=self.params)
        if self.subnet is not None:
            record.update(subnet=str(self.subnet), width=self.subnet.width, depth=self.subnet.depth)
        return record


def gather_candidates(
    backbones: dict[str, ElasticBackbone],
    subnets: Sequence[str],
    thumbnails: bool = False,
    device: torch.device | str = 'cpu',
) -> list[Candidate]:
    """The chosen sub-networks of one or more elastic networks of the same space.

    Args:
        backbones: By kind; moved to the device.
        subnets: What :meth:`SubnetSpace.select` takes.
        thumbnails: Whether raw pixels take part.
        device: Where the networks shall run.

    Raises:
        ValueError: If the space has no such sub-network.
    """
    found = []
    for kind, backbone in backbones.items():
        backbone.to(device).eval()
        for subnet in backbone.space.select(subnets):
            found.append(
                Candidate(
                    kind,
                    backbone.space.name(subnet),
                    partial(backbone.image_features, subnet=subnet),
                    subnet,
                    count_params(backbone, subnet),
                )
            )
    if thumbnails:
        found.append(Candidate('thumbnails', '8x8 pixels', thumbnail_features))
    return found


def thumbnail_features(images: Tensor, size: int = 8) -> Tensor:
    """Raw pixels as features: images (N, 3, S, S) averaged to ``size x size``, (N, 3 size^2)."""
    return F.adaptive_avg_pool2d(images, size).flatten(1)
