"""Coding rate: how much room a batch of features takes (Wu et al., "Simplifying DINO via coding rate regularization",
ICML 2025)."""

from __future__ import annotations

import torch
from torch import Tensor


def coding_rate(features: Tensor, eps: float = 0.5) -> Tensor:
    """``1/2 log det(I + d / eps^2 Z^T Z / n)`` in fp32, of the features given: those of one process.

    It is largest if the features point in all directions alike, smallest if all are the same: maximising it keeps
    outputs from collapsing.

    Args:
        features: Unit vectors ``Z``, ``(n, d)``.
        eps: Precision to which features are distinguished.
    """
    n, d = features.shape
    with torch.autocast(features.device.type, enabled=False):
        z = features.float()
        gram = z.T @ z if d < n else z @ z.T  # both have the same determinant
        matrix = torch.eye(len(gram), device=z.device) + d / (n * eps**2) * gram
        # cholesky_ex does not wait for the device to check its result; the matrix is positive definite.
        return torch.linalg.cholesky_ex(matrix).L.diagonal().log().sum()
