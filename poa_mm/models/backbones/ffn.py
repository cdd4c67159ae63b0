"""Feed-forward network of a Transformer block."""

from __future__ import annotations

from torch import Tensor, nn

from poa_mm.elastic import ElasticLayerScale, ElasticLinear


class ElasticFFN(nn.Module):
    """Two linear layers with GELU between; the names are those of mmcv's ``FFN``."""

    def __init__(self, embed_dims: int, hidden_dims: int, layer_scale_init_value: float, scaled: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(ElasticLinear(embed_dims, hidden_dims, scaled=scaled), nn.GELU()),
            ElasticLinear(hidden_dims, embed_dims, scaled=scaled),
        )
        self.gamma2 = layer_scale(embed_dims, layer_scale_init_value)

    def forward(self, x: Tensor) -> Tensor:
        """``(T, D) -> (T, D)``."""
        return self.gamma2(self.layers(x))


def layer_scale(embed_dims: int, init_value: float) -> nn.Module:
    """LayerScale, or nothing where its start is 0."""
    return ElasticLayerScale(embed_dims, init_value) if init_value else nn.Identity()
