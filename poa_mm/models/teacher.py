"""The teacher: an average of the student over time."""

from __future__ import annotations

from copy import deepcopy

from torch import nn


class Teacher(nn.Module):
    """Copies of the student's backbone and heads that never train: no gradient, no drop path.

    ``TeacherEMAHook`` moves them towards the student after every optimizer step.

    Args:
        backbone: The student's backbone.
        head: The student's heads.
        patch_head: The student's heads for patches, where they are not the same.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, patch_head: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = deepcopy(backbone)
        self.head = deepcopy(head)
        self.patch_head = deepcopy(patch_head)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stays in evaluation mode."""
        return super().train(False)
