"""Cross-entropies between teacher targets and student logits over prototypes, in fp32 (POA, eq. 5 to 11).

Crops are ordered crop by crop: rows ``0 … B-1`` hold the first crop of every image, the next ``B`` the second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .soft_cross_entropy import ChunkedCrossEntropy


def cross_entropy(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """``H(p, q) = -sum p log softmax(q / temperature)`` of every sample.

    Args:
        targets: Distributions ``(N, K)``.
        logits: Student logits ``(N, K)``.
        temperature: Student temperature.

    Returns:
        ``(N,)``.
    """
    return ChunkedCrossEntropy.apply(targets[None], logits[None], temperature, False)[0]


def cross_view_global(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """``H(T_1, s(g_2)) + H(T_2, s(g_1))``, each the mean over the images.

    Args:
        targets: Targets of the two global crops, ``(2B, K)``.
        logits: Student logits of the two global crops, ``(2B, K)``.
        temperature: Student temperature.
    """
    pairs = zip(targets.chunk(2), reversed(logits.chunk(2)))
    return sum(cross_entropy(t, s, temperature).mean() for t, s in pairs)


def cross_view_local(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Sum over both global crops ``a`` and all local crops ``l`` of ``H(T_a, s(l))``, means over the images.

    Args:
        targets: Targets of the two global crops, ``(2B, K)``.
        logits: Student logits of the ``v`` local crops, ``(vB, K)``.
        temperature: Student temperature.
    """
    targets = targets.unflatten(0, (2, -1))
    logits = logits.unflatten(0, (-1, targets.shape[1]))
    return ChunkedCrossEntropy.apply(targets, logits, temperature, False).sum(0).mean()


def same_view(intact: Tensor, elastic: Tensor, temperature: float) -> Tensor:
    """``H(softmax(s1 / temperature), s2)``, mean over the crops; the intact student learns nothing from it.

    Args:
        intact: Logits ``s1`` of the intact student, ``(N, K)``.
        elastic: Logits ``s2`` of the elastic student for the same crops, ``(N, K)``.
        temperature: Student temperature, for both.
    """
    return ChunkedCrossEntropy.apply(intact.detach()[None], elastic[None], temperature, True).mean()


def masked_patch(targets: Tensor, logits: Tensor, weights: Tensor, num_crops: int, temperature: float) -> Tensor:
    """Mean over a crop's masked patches, summed over the crops that have some, over the number of all crops.

    Args:
        targets: Targets of the masked patches, ``(M, K)``.
        logits: Student logits of the same patches, ``(M, K)``.
        weights: One over the number of masked patches of each patch's crop, ``(M,)``.
        num_crops: Number of global crops of the batch, ``2B``.
        temperature: Student temperature.
    """
    return torch.dot(weights, cross_entropy(targets, logits, temperature)) / num_crops
