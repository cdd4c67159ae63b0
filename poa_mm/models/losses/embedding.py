"""The parts of the loss without prototypes: squared distances of unit vectors (Wu et al., "Simplifying DINO via coding
rate regularization", ICML 2025). The functions take what those of :mod:`.prototype` take."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poa_mm.registry import MODELS

from .sinkhorn import Logits


@MODELS.register_module()
class Embeddings(nn.Module):
    """Targets of an :class:`EmbeddingHead`: the teacher's unit vectors as they are.

    With it, POA compares outputs by :func:`distance` in place of the cross-entropy over prototypes, and
    ``loss_weights.coding_rate`` keeps them from collapsing.
    """

    def forward(self, outputs: Logits, temperature: float) -> dict[str, list[Tensor]]:
        """The outputs ``(N, D)`` of the only head by kind of sample; the temperature is not used."""
        return {kind: list(heads) for kind, heads in outputs.items()}


def distance(targets: Tensor, outputs: Tensor) -> Tensor:
    """``||t - s||^2 / 2`` of each pair of vectors, ``(..., D)`` to ``(...)``: for unit vectors 1 minus the cosine."""
    return (targets - outputs).square().sum(-1) / 2


def cross_view_global(targets: Tensor, outputs: Tensor, temperature: float) -> Tensor:
    """``d(T_1, s(g_2)) + d(T_2, s(g_1))``, each the mean over the images; ``(2B, D)``."""
    first, second = targets.chunk(2)
    return 2 * distance(torch.cat([second, first]), outputs).mean()


def cross_view_local(targets: Tensor, outputs: Tensor, temperature: float) -> Tensor:
    """Sum over both global crops and all local crops, ``(2B, D)`` and ``(vB, D)``, means over the images."""
    targets = targets.unflatten(0, (2, -1))
    outputs = outputs.unflatten(0, (-1, targets.shape[1]))
    return distance(targets[:, None], outputs[None]).sum((0, 1)).mean()


def same_view(intact: Tensor, elastic: Tensor, temperature: float) -> Tensor:
    """``d(s1, s2)``, mean over the crops ``(N, D)``; the intact student learns nothing from it."""
    return distance(intact.detach(), elastic).mean()


def masked_patch(targets: Tensor, outputs: Tensor, weights: Tensor, num_crops: int, temperature: float) -> Tensor:
    """Mean over a crop's masked patches ``(M, D)``, summed over the crops that have some, over the number of all."""
    return torch.dot(weights, distance(targets, outputs)) / num_crops
