"""A pyramid from the maps of a plain Vision Transformer."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from poa_mm.errors import UserError
from poa_mm.registry import MODELS


@MODELS.register_module()
class ViTPyramid(BaseModule):
    """Four maps of one stride to strides of 1/4, 1/2, 1 and 2 times that, for detection and segmentation.

    The first map goes through two transposed convolutions (kernel 2, stride 2) with a norm and GELU between, the
    second through one, the third stays and the fourth is max-pooled: what iBOT and POA fine-tune plain ViTs with.

    Args:
        embed_dims: Channels ``D`` of every map.
        norm_cfg: Config of the norm; ``dict(type='SyncBN')`` over several GPUs.
        init_cfg: Initialisation config of MMEngine.

    Raises:
        UserError: If it is given other than four maps.
    """

    def __init__(self, embed_dims: int, norm_cfg: dict = dict(type='BN'), init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.up4 = nn.Sequential(
            nn.ConvTranspose2d(embed_dims, embed_dims, 2, stride=2),
            build_norm_layer(norm_cfg, embed_dims)[1],
            nn.GELU(),
            nn.ConvTranspose2d(embed_dims, embed_dims, 2, stride=2),
        )
        self.up2 = nn.ConvTranspose2d(embed_dims, embed_dims, 2, stride=2)
        self.down2 = nn.MaxPool2d(2)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Four maps ``(N, D, H, W)`` to maps of 4, 2, 1 and 1/2 times their height and width."""
        if len(maps) != 4:
            raise UserError(f'ViTPyramid takes four maps, got {len(maps)}: the backbone needs four out_indices')
        first, second, third, fourth = maps
        return self.up4(first), self.up2(second), third, self.down2(fourth)
