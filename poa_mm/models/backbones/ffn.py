"""Feed-forward networks of a Transformer block."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from poa_mm.elastic import ElasticLayerScale, ElasticLinear


class ElasticFFN(nn.Module):
    """Two linear layers with GELU between; the names are those of mmcv's ``FFN``."""

    @staticmethod
    def hidden_dims(embed_dims: int) -> int:
        """Hidden units of a block with this token size."""
        return 4 * embed_dims

    def __init__(self, embed_dims: int, hidden_dims: int, layer_scale_init_value: float, scaled: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(ElasticLinear(embed_dims, hidden_dims, scaled=scaled), nn.GELU()),
            ElasticLinear(hidden_dims, embed_dims, scaled=scaled),
        )
        self.gamma2 = layer_scale(embed_dims, layer_scale_init_value)

    def forward(self, x: Tensor) -> Tensor:
        """``(T, D) -> (T, D)``."""
        return self.layers[1](self.layers[0](x), getattr(self.gamma2, 'weight', None))


class ElasticSwiGLU(nn.Module):
    """``W3 (silu(W1 x) * W2 x)`` (Shazeer, 2020); the names are those of mmpretrain's ``SwiGLUFFNFused``.

    Two thirds of an MLP's hidden units make up for the third matrix.
    """

    @staticmethod
    def hidden_dims(embed_dims: int) -> int:
        """Hidden units of a block with this token size, a multiple of 3."""
        return 8 * embed_dims // 3

    def __init__(self, embed_dims: int, hidden_dims: int, layer_scale_init_value: float, scaled: bool) -> None:
        super().__init__()
        self.w12 = ElasticLinear(embed_dims, 2 * hidden_dims, groups=2, scaled=scaled)
        self.w3 = ElasticLinear(hidden_dims, embed_dims, scaled=scaled)
        self.gamma2 = layer_scale(embed_dims, layer_scale_init_value)

    def forward(self, x: Tensor) -> Tensor:
        """``(T, D) -> (T, D)``."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value, getattr(self.gamma2, 'weight', None))


def layer_scale(embed_dims: int, init_value: float) -> nn.Module:
    """LayerScale, or nothing where its start is 0."""
    return ElasticLayerScale(embed_dims, init_value) if init_value else nn.Identity()
