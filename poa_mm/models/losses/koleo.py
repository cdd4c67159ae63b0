"""KoLeo regulariser: features of a batch keep away from their nearest neighbours (Sablayrolles et al., 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from poa_mm.errors import UserError


def koleo(features: Tensor, eps: float = 1e-8) -> Tensor:
    """``-mean log(||z_i - z_nearest|| + eps)`` of the L2-normalised features, in fp32.

    Neighbours are sought among the features given: those of one process.

    Args:
        features: ``(N, D)``, ``N`` at least 2.
        eps: Keeps the logarithm finite.

    Raises:
        UserError: If there are fewer than two features.
    """
    if len(features) < 2:
        raise UserError(f'KoLeo needs at least 2 images per process, got {len(features)}')
    with torch.autocast(features.device.type, enabled=False):
        z = F.normalize(features.float(), dim=-1)
        with torch.no_grad():
            similarity = z @ z.T
            nearest = similarity.fill_diagonal_(-2).argmax(1)
        return -(torch.linalg.vector_norm(z - z[nearest], dim=1) + eps).log().mean()
