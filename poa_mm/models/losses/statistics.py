"""Statistics that show a collapse: of the teacher's targets, and of the features of a batch.

All but :func:`rank` are computed without a wait for the device.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def entropy_share(targets: Tensor) -> Tensor:
    """Mean entropy of distributions as a share of the largest possible, ``ln K``: 1 if all are uniform.

    Args:
        targets: Distributions ``(N, K)``.

    Returns:
        0-dim tensor.
    """
    return torch.special.entr(targets.float()).sum(-1).mean() / math.log(targets.shape[-1])


@torch.no_grad()
def used_share(targets: Tensor) -> Tensor:
    """Prototypes that are the most probable one of at least one sample, as a share of those that could be.

    Args:
        targets: Distributions ``(N, K)``; at most ``min(N, K)`` prototypes can be used.

    Returns:
        0-dim tensor.
    """
    samples, prototypes = targets.shape
    used = targets.new_zeros(prototypes, dtype=torch.float).scatter_(0, targets.argmax(-1), 1.0)
    return used.sum() / min(samples, prototypes)


@torch.no_grad()
def nearest_cosine(features: Tensor) -> Tensor:
    """Cosine between each sample and its nearest neighbour among the others.

    Args:
        features: ``(N, D)``, ``N`` at least 2.

    Returns:
        ``(N,)``.
    """
    features = F.normalize(features.float(), dim=-1)
    return (features @ features.T).fill_diagonal_(-1).amax(1)


@torch.no_grad()
def rank(features: Tensor) -> Tensor:
    """RankMe: the exponential of the entropy of the singular values (Garrido et al., 2023, eq. 1).

    Args:
        features: ``(N, D)``; the value is between 1 and ``min(N, D)``. On a GPU the host waits for the decomposition.

    Returns:
        0-dim tensor.
    """
    values = torch.linalg.svdvals(features.float())
    return torch.special.entr(values / values.sum()).sum().exp()
