"""Any backbone, frozen."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from poa_mm.registry import MODELS


@MODELS.register_module()
class FrozenBackbone(BaseModule):
    """Runs a backbone without ever training it (POA, sec. 4: linear segmentation).

    ::

        backbone = dict(
            type='poa_mm.FrozenBackbone',
            backbone=dict(type='mmpretrain.VisionTransformer', init_cfg=dict(type='Pretrained', checkpoint=...)),
        )

    Its parameters require no gradients from the start, so neither the optimizer nor DDP knows of them. It stays in
    evaluation mode whatever :meth:`train` says: no drop path, no dropout, no update of running statistics.

    Args:
        backbone: Config of a backbone of any toolbox; its own ``init_cfg`` says what is loaded into it.
    """

    def __init__(self, backbone: dict) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.backbone.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Any:
        """Output of the backbone for images ``(N, 3, H, W)``: for most, a tuple of maps ``(N, C, h, w)``."""
        return self.backbone(images)
