"""Necks for classification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from poa_mm.errors import UserError
from poa_mm.files import load_weights
from poa_mm.registry import MODELS


@MODELS.register_module()
class ConcatPool(nn.Module):
    """Means of several maps ``(N, C_i, H_i, W_i)``, joined to one feature ``(N, sum C_i)``."""

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """A tuple, as mmpretrain's heads expect it."""
        return (torch.cat([x.mean((2, 3)) for x in maps], dim=1),)


@MODELS.register_module()
class ProjectionLayer(BaseModule):
    """The first layer of a pre-trained projection head with its GELU.

    Fine-tuning with few labels starts after it (SimCLRv2, iBOT; POA, sec. 4).

    Args:
        in_channels: Size of the image feature.
        checkpoint: Pre-training checkpoint; ``None`` for untrained weights.
        hidden_dims: Size of the head's hidden layers.
        head: Which of the heads.
        branch: Whose head, ``'teacher'`` or ``'student'``.
        scaled: Whether the heads were trained with scaled slices.
        init_cfg: Initialisation config of MMEngine.

    Raises:
        UserError: If the branch is neither.
    """

    def __init__(
        self,
        in_channels: int,
        checkpoint: str | None = None,
        hidden_dims: int = 2048,
        head: int = 0,
        branch: str = 'teacher',
        scaled: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        if branch not in ('teacher', 'student'):
            raise UserError(f"branch must be 'teacher' or 'student', got {branch!r}")
        super().__init__(init_cfg)
        self.fc = nn.Linear(in_channels, hidden_dims)
        self.checkpoint, self.scaled = checkpoint, scaled
        self.name = f'{"teacher." if branch == "teacher" else ""}head.heads.{head}.mlp.0.'

    @torch.no_grad()
    def init_weights(self) -> None:
        """Take the slice for this size of feature from the checkpoint, its scale multiplied in.

        Raises:
            UserError: If the file does not exist.
            UserError: If the head is missing or has another size.
        """
        super().init_weights()
        if self.checkpoint is None:
            return
        if not Path(self.checkpoint).is_file():
            raise UserError(
                f'{self.checkpoint} does not exist: it is the pre-training checkpoint whose projection head is taken, '
                'written by poa train; model.neck.checkpoint=FILE names another'
            )
        weights = load_weights(self.checkpoint).get('state_dict', {})
        if f'{self.name}weight' not in weights:
            raise UserError(f'{self.checkpoint} has no weights named {self.name}*')
        weight, bias = weights[f'{self.name}weight'], weights[f'{self.name}bias']
        if weight.shape[0] != self.fc.out_features or weight.shape[1] < self.fc.in_features:
            raise UserError(
                f'{self.name}weight of {self.checkpoint} is {tuple(weight.shape)}: it has no part of '
                f'{tuple(self.fc.weight.shape)}'
            )
        scale = weight.shape[1] / self.fc.in_features if self.scaled else 1.0
        self.fc.weight.copy_(scale * weight[:, : self.fc.in_features])
        self.fc.bias.copy_(bias)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor]:
        """The last of the backbone's outputs, ``(N, D)`` or a map ``(N, D, H, W)``, to ``(N, hidden_dims)``."""
        x = features[-1]
        return (F.gelu(self.fc(x.mean((2, 3)) if x.ndim == 4 else x)),)
