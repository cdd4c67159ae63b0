"""SEED: distillation of a frozen network (Fang et al., "SEED: Self-supervised distillation for visual representation",
ICLR 2021), which the paper compares with (POA, table 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from torch import Tensor, nn

from poa_mm.errors import UserError
from poa_mm.extraction import load_extracted, open_network
from poa_mm.registry import MODELS


@MODELS.register_module()
class SEED(BaseSelfSupervisor):
    """A student learns to find the same neighbours in a queue of features as a frozen teacher.

    Both see the same view. The teacher's L2-normalised features fill a queue; the similarities of an image to the
    queue and to its own teacher feature are a distribution over ``queue_size + 1`` places, and the student's is
    drawn towards the teacher's::

        - mean over images of  sum softmax(t Q / teacher_temp) log softmax(s Q / student_temp)

    The teacher is no part of the checkpoints: it is read from its file at every start.

    Args:
        backbone: Config of the student, an elastic backbone of one size.
        teacher: Where the teacher is: ``file``, a pre-training checkpoint or an extracted network, and optionally
            ``subnet`` (the intact one) and ``branch`` (``'teacher'``), of which an extracted network has one each.
        student_init: Where the student starts from, likewise; ``None`` for untrained weights.
        queue_size: Features of the teacher that are kept (SEED: 65 536).
        teacher_temp: Teacher temperature (SEED: 0.01).
        student_temp: Student temperature (SEED: 0.2).
        hidden_dims: Of the student's projector, two layers with a ReLU between; by default that of its features.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation config of MMEngine.

    Raises:
        UserError: If a file is missing.
        UserError: If a file does not fit, or a number makes no sense.
    """

    def __init__(
        self,
        backbone: dict,
        teacher: Mapping[str, str],
        student_init: Mapping[str, str] | None = None,
        queue_size: int = 65536,
        teacher_temp: float = 0.01,
        student_temp: float = 0.2,
        hidden_dims: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if queue_size < 1 or min(teacher_temp, student_temp) <= 0:
            raise UserError(
                'queue_size must be at least 1 and temperatures positive, got '
                f'{queue_size}, {teacher_temp} and {student_temp}'
            )
        super().__init__(
            backbone=MODELS.build(backbone),
            data_preprocessor=MODELS.build(data_preprocessor or dict(type='MultiCropPreprocessor')),
            init_cfg=init_cfg,
        )
        if len(self.backbone.space) != 1:
            raise UserError(f'the student of SEED has one size, but this backbone has {len(self.backbone.space)}')
        frozen, self.subnet = _open(teacher)
        # In a list, so that it is no part of the model's parameters and checkpoints.
        self._frozen = [frozen.requires_grad_(False)]
        self.student_init = student_init
        self.teacher_temp, self.student_temp = teacher_temp, student_temp
        dims, teacher_dims = self.backbone.feature_dims(), frozen.feature_dims(self.subnet)
        hidden = hidden_dims or dims
        self.projector = nn.Sequential(nn.Linear(dims, hidden), nn.ReLU(), nn.Linear(hidden, teacher_dims))
        self.register_buffer('queue', F.normalize(torch.randn(queue_size, teacher_dims), dim=1))
        self.register_buffer('queue_end', torch.zeros(1, dtype=torch.int64))

    @property
    def frozen(self) -> nn.Module:
        """The teacher's backbone."""
        return self._frozen[0]

    def _apply(self, fn: Callable, *args, **kwargs) -> SEED:
        """Moves the teacher to where the model is moved."""
        self.frozen._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def init_weights(self) -> None:
        """Initialises the student, from its file if there is one.

        Raises:
            UserError: If the file holds a network of another size.
        """
        super().init_weights()
        if self.student_init is not None:
            backbone, subnet = _open(self.student_init)
            load_extracted(self.backbone, backbone.extract(subnet), self.student_init['file'])

    def loss(self, inputs: dict[str, Tensor], data_samples: None = None) -> dict[str, Tensor]:
        """Loss of a batch from ``multi_crop_collate``, of which the global crops (N, 3, H, W) are seen."""
        crops = inputs['global_crops']
        with torch.no_grad():
            target = F.normalize(self.frozen.image_features(crops, self.subnet).float(), dim=1)
        student = self.projector(self.backbone.image_features(crops))
        with torch.autocast(crops.device.type, enabled=False):
            loss = self.compute_loss(student.float(), target)
        self.enqueue(target)
        return dict(loss=loss)

    def compute_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the two distributions over the queue and the own teacher feature.

        Args:
            student: Projected features (N, D) in fp32, not normalised.
            target: The teacher's L2-normalised features (N, D).
        """
        queue = self.queue.clone()  # the queue moves on before the backward pass
        student = F.normalize(student, dim=1)
        own = (student * target).sum(1, keepdim=True)
        similar = torch.cat([own, student @ queue.T], dim=1) / self.student_temp
        with torch.no_grad():
            own = (target * target).sum(1, keepdim=True)
            wanted = (torch.cat([own, target @ queue.T], dim=1) / self.teacher_temp).softmax(1)
        return -(wanted * similar.log_softmax(1)).sum(1).mean()

    @torch.no_grad()
    def enqueue(self, target: Tensor) -> None:
        """Put the features (N, D) of all processes in the places of the oldest ones."""
        features = torch.cat(all_gather(target))[-len(self.queue) :]
        places = (self.queue_end + torch.arange(len(features), device=features.device)) % len(self.queue)
        self.queue.index_copy_(0, places, features)
        self.queue_end.add_(len(features)).remainder_(len(self.queue))


def _open(source: Mapping[str, str]) -> tuple[nn.Module, str]:
    """The backbone of a file in evaluation mode, and the sub-network that is meant.

    Raises:
        UserError: If the file is missing.
        UserError: If it does not fit, or a key is unknown.
    """
    unknown = set(source) - {'file', 'subnet', 'branch'}
    if unknown or 'file' not in source:
        raise UserError(f'a network is given as file, and optionally subnet and branch; got {dict(source)}')
    opened = open_network(source['file'], branch=source.get('branch', 'teacher'))
    own = opened.source['branch']
    if opened.kind == 'extracted' and source.get('branch', own) != own:
        raise UserError(f'{source["file"]} was extracted from the {own}: branch cannot be {source["branch"]!r}')
    return opened.backbone, opened.backbone.space.parse(source.get('subnet', 'intact'))
