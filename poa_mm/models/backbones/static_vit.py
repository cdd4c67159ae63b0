"""Vision Transformer with registers, which mmpretrain's lacks."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models.backbones.vision_transformer import VisionTransformer
from torch import Tensor, nn

from poa_mm.registry import MODELS


@MODELS.register_module()
class RegisterVisionTransformer(VisionTransformer):
    """``mmpretrain.VisionTransformer`` with register tokens (Darcet et al., 2024).

    An extracted sub-network uses it if its network has registers. They come between class token and patches, have no
    positions, and are in the output only where it is ``'raw'``. Configs of mmdet and mmseg write
    ``poa_mm.RegisterVisionTransformer``.

    Args:
        *args: Arguments of ``mmpretrain.VisionTransformer``.
        num_registers: Number of registers.
        **kwargs: More of them.
    """

    def __init__(self, *args: Any, num_registers: int = 4, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_tokens = nn.Parameter(torch.empty(1, num_registers, self.embed_dims))
        nn.init.normal_(self.register_tokens, std=1e-6)
        self.register_tokens.requires_grad_(self.frozen_stages <= 0)
        # The parent's forward has no place of its own between positions and first block.
        self.layers[0].register_forward_pre_hook(self._insert_registers)

    def _insert_registers(self, layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        (x,) = inputs
        return torch.cat([x[:, :1], self.register_tokens.expand(len(x), -1, -1), x[:, 1:]], dim=1)

    def _format_output(self, x: Tensor, hw: tuple[int, int]) -> Any:
        if self.out_type != 'raw':
            x = torch.cat([x[:, :1], x[:, 1 + self.register_tokens.shape[1] :]], dim=1)
        return super()._format_output(x, hw)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The id of a parameter's layer and the number of layers; registers are in the first, as the class token."""
        if param_name == prefix + 'register_tokens':
            param_name = prefix + 'cls_token'
        return super().get_layer_depth(param_name, prefix)
