"""Projection heads with prototypes: several at once (POA, sec. 3.2, "multiple projection heads")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from poa_mm.elastic import ElasticLinear
from poa_mm.errors import UserError
from poa_mm.registry import MODELS


class PrototypeLayer(nn.Module):
    """Weight-normed linear layer without bias: every prototype has a direction and a gain.

    Args:
        in_features: Size of the bottleneck.
        num_prototypes: Number of prototypes ``K``.
    """

    def __init__(self, in_features: int, num_prototypes: int) -> None:
        super().__init__()
        bound = in_features**-0.5
        self.weight_v = nn.Parameter(torch.empty(num_prototypes, in_features).uniform_(-bound, bound))
        self.weight_g = nn.Parameter(torch.ones(num_prototypes, 1))

    def weight(self) -> Tensor:
        """Prototypes ``(K, in_features)`` in fp32."""
        return F.normalize(self.weight_v.float(), dim=1) * self.weight_g.float()


class PrototypeHead(nn.Module):
    """MLP of three layers, L2 normalisation, prototypes.

    Args:
        embed_dims: Size of the intact network's features; smaller ones use the first columns.
        num_prototypes: Number of prototypes.
        hidden_dims: Size of the two hidden layers.
        bottleneck_dims: Size of the normalised output of the MLP.
        scaled: Whether the product with the sliced first layer is scaled.
    """

    def __init__(
        self, embed_dims: int, num_prototypes: int, hidden_dims: int, bottleneck_dims: int, scaled: bool
    ) -> None:
        super().__init__()
        self.mlp = projection(embed_dims, hidden_dims, bottleneck_dims, scaled)
        self.last_layer = PrototypeLayer(bottleneck_dims, num_prototypes)

    def forward(self, x: Tensor, prototypes: Tensor) -> Tensor:
        """Features ``(N, D)`` to logits ``(N, K)``, with ``prototypes`` from the last layer."""
        x = self.mlp(x)
        x = F.normalize(x.float(), dim=-1, eps=1e-6 if x.dtype == torch.float16 else 1e-12)
        return F.linear(x, prototypes)


def projection(embed_dims: int, hidden_dims: int, out_dims: int, scaled: bool) -> nn.Sequential:
    """The MLP of a head, three layers, the first of them sliced; arguments as those of :class:`PrototypeHead`."""
    mlp = nn.Sequential(
        ElasticLinear(embed_dims, hidden_dims, elastic_out=False, scaled=scaled),
        nn.GELU(),
        nn.Linear(hidden_dims, hidden_dims),
        nn.GELU(),
        nn.Linear(hidden_dims, out_dims),
    )
    for layer in mlp[::2]:
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    return mlp


@MODELS.register_module()
class MultiPrototypeHead(BaseModule):
    """Several prototype heads on the same features.

    Args:
        embed_dims: Size of the intact network's features.
        num_prototypes: Number of prototypes of every head.
        hidden_dims: Size of the hidden layers.
        bottleneck_dims: Size of the normalised output.
        scaled: Whether products with sliced weights are scaled (False: POA, table 16).

    Raises:
        UserError: Without a head.
    """

    def __init__(
        self,
        embed_dims: int,
        num_prototypes: Sequence[int] = (8192, 16384, 32768, 65536),
        hidden_dims: int = 2048,
        bottleneck_dims: int = 256,
        scaled: bool = True,
    ) -> None:
        super().__init__()
        if not num_prototypes:
            raise UserError('num_prototypes must list at least one head')
        self.embed_dims, self.num_prototypes = embed_dims, tuple(num_prototypes)
        self.heads = nn.ModuleList(
            PrototypeHead(embed_dims, k, hidden_dims, bottleneck_dims, scaled) for k in num_prototypes
        )

    def prototypes(self) -> list[Tensor]:
        """The prototypes ``(K, bottleneck_dims)`` of every head, normalised once for all calls of a step."""
        return [head.last_layer.weight() for head in self.heads]

    def forward(self, x: Tensor, prototypes: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Features ``(N, D)`` to the logits ``(N, K)`` of every head."""
        prototypes = self.prototypes() if prototypes is None else prototypes
        return [head(x, weight) for head, weight in zip(self.heads, prototypes)]
