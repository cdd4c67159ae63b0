"""A projection head without prototypes."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from poa_mm.registry import MODELS

from .prototype_head import projection


@MODELS.register_module()
class EmbeddingHead(BaseModule):
    """MLP of three layers and L2 normalisation: the outputs that are compared are unit vectors.

    It takes the place of :class:`MultiPrototypeHead` together with the target :class:`Embeddings` (Wu et al.,
    "Simplifying DINO via coding rate regularization", ICML 2025).

    Args:
        embed_dims: Size of the intact network's features; smaller ones use the first columns.
        hidden_dims: Size of the two hidden layers.
        out_dims: Size of the output.
        scaled: Whether products with sliced weights are scaled.
    """

    def __init__(self, embed_dims: int, hidden_dims: int = 2048, out_dims: int = 256, scaled: bool = True) -> None:
        super().__init__()
        self.embed_dims = embed_dims
        self.mlp = projection(embed_dims, hidden_dims, out_dims, scaled)

    def prototypes(self) -> list[Tensor]:
        """There are none."""
        return []

    def forward(self, x: Tensor, prototypes: Sequence[Tensor] = ()) -> list[Tensor]:
        """Features ``(N, D)`` to unit vectors ``(N, out_dims)`` in fp32, as the only head's output."""
        return [F.normalize(self.mlp(x).float(), dim=-1)]
