"""Recovery: an extracted network is drawn towards the features of the intact one for some steps.

Not in the paper. The loss is that of Wei et al., "Contrastive learning rivals masked image modeling in fine-tuning via
feature distillation", 2022, for the patches and for the image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from poa_mm.errors import UserError
from poa_mm.registry import MODELS

from .backbones import ElasticBackbone
from .distiller import Distiller


@MODELS.register_module()
class Recovery(Distiller):
    """A student of one size learns the features of a frozen larger network for the same crops, without labels.

    Teacher features are whitened, each to mean 0 and variance 1 over its channels, and predicted from the student's by
    a linear layer, one for the image feature and one for the patches::

        smooth_l1(W_i s, whiten(t)) + patch_weight * smooth_l1(W_p s_patches, whiten(t_patches))

    Args:
        backbone: Config of the student, an elastic backbone of one size; its ``init_cfg`` names the extracted file.
        teacher: Config of a :class:`FrozenBackbone` over an elastic backbone of one size, of the same patches.
        patch_weight: Weight of the patches.
        beta: Where the smooth L1 loss turns from squares to absolute values.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation config of MMEngine.

    Raises:
        UserError: If a backbone is not elastic or has several sizes, or a number is out of range.
    """

    def __init__(
        self,
        backbone: dict,
        teacher: dict,
        patch_weight: float = 1.0,
        beta: float = 2.0,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if patch_weight < 0 or beta <= 0:
            raise UserError(f'patch_weight must not be negative, beta must be positive, got {patch_weight} and {beta}')
        super().__init__(backbone, teacher, data_preprocessor, init_cfg)
        larger = self.teacher.backbone
        if not isinstance(larger, ElasticBackbone) or len(larger.space) != 1:
            raise UserError(
                'the teacher of Recovery is an elastic backbone of one size, whose patches are compared, got '
                f'{type(larger).__name__}'
            )
        self.patch_weight, self.beta = patch_weight, beta
        sizes = self.backbone.feature_dims(), self.teacher.backbone.feature_dims()
        self.projectors = nn.ModuleDict({name: nn.Linear(*sizes) for name in ('image', 'patch')})

    def loss(self, inputs: dict[str, Tensor], data_samples: None = None) -> dict[str, Tensor]:
        """Loss of the global crops ``(N, 3, H, W)`` of a batch from ``multi_crop_collate``, and its two parts."""
        crops = [inputs['global_crops']]
        wanted = dict(zip(('image', 'patch'), self.teacher(crops)[0]))
        features = dict(zip(('image', 'patch'), self.backbone(crops)[0]))
        found = {name: self.projectors[name](feature) for name, feature in features.items()}
        with torch.autocast(crops[0].device.type, enabled=False):
            parts = {name: self.compare(found[name], wanted[name]) for name in found}
            total = parts['image'] + self.patch_weight * parts['patch']
        return dict(loss=total, **{name: part.detach() for name, part in parts.items()})

    def compare(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Smooth L1 loss in fp32 of predictions against whitened teacher features, both ``(..., D)``."""
        wanted = F.layer_norm(wanted.float(), wanted.shape[-1:])
        return F.smooth_l1_loss(found.float(), wanted, beta=self.beta)
