"""What SEED and recovery share: a student of one size, and a frozen teacher that checkpoints do not hold."""

from __future__ import annotations

from collections.abc import Callable

from mmpretrain.models.selfsup.base import BaseSelfSupervisor

from poa_mm.errors import UserError
from poa_mm.registry import MODELS

from .backbones import FrozenBackbone


class Distiller(BaseSelfSupervisor):
    """A model whose backbone learns from a frozen network.

    The teacher is not part of the checkpoints: its ``init_cfg`` is read at every start.

    Args:
        backbone: Config of the student, an elastic backbone of one size; ``init_cfg`` may name a file to start from.
        teacher: Config of a :class:`FrozenBackbone`.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation config of MMEngine.

    Raises:
        UserError: If the backbone has several sizes.
    """

    def __init__(
        self, backbone: dict, teacher: dict, data_preprocessor: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(
            backbone=MODELS.build(backbone),
            data_preprocessor=MODELS.build(data_preprocessor or dict(type='MultiCropPreprocessor')),
            init_cfg=init_cfg,
        )
        if len(self.backbone.space) != 1:
            sizes = len(self.backbone.space)
            raise UserError(f'the student of {type(self).__name__} has one size, but this backbone has {sizes}')
        for name in self.backbone.pretrain_only:  # nothing is masked
            self.backbone.get_parameter(name).requires_grad_(False)
        # In a list, so that it is not part of the model's parameters and checkpoints.
        self._teacher = [MODELS.build(teacher)]

    @property
    def teacher(self) -> FrozenBackbone:
        """The frozen teacher."""
        return self._teacher[0]

    def _apply(self, fn: Callable, *args, **kwargs) -> Distiller:
        """Moves the teacher to where the model is moved."""
        self.teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def init_weights(self) -> None:
        """Initialises the student, and the teacher from its file."""
        super().init_weights()
        self.teacher.init_weights()
