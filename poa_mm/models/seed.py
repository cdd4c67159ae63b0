"""SEED: distillation of a frozen network (Fang et al., "SEED: Self-supervised distillation for visual representation",
ICLR 2021), which the paper compares with (POA, table 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from torch import Tensor, nn

from poa_mm.errors import UserError
from poa_mm.registry import MODELS

from .distiller import Distiller


@MODELS.register_module()
class SEED(Distiller):
    """A student learns to find the same neighbours in a queue of features as a frozen teacher.

    Both see the same view. The teacher's L2-normalised features fill a queue; the similarities of an image to the
    queue and to its own teacher feature are a distribution over ``queue_size + 1`` places, and the student's is
    drawn towards the teacher's::

        - mean over images of  sum softmax(t Q / teacher_temp) log softmax(s Q / student_temp)

    Args:
        backbone: Config of the student, an elastic backbone of one size; ``init_cfg`` may name a file to start from.
        teacher: Config of a :class:`FrozenBackbone`. The last of its outputs is the image feature ``(N, D)``, or a map
            ``(N, D, h, w)``, averaged over their positions.
        teacher_dims: Size ``D`` of the teacher's image feature.
        queue_size: Number of teacher features in the queue (SEED: 65 536).
        teacher_temp: Teacher temperature (SEED: 0.01).
        student_temp: Student temperature (SEED: 0.2).
        hidden_dims: Hidden size of the student's projector, two layers with a ReLU between; by default that of its
            features.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation config of MMEngine.

    Raises:
        UserError: If the backbone has several sizes, or a number is out of range.
    """

    def __init__(
        self,
        backbone: dict,
        teacher: dict,
        teacher_dims: int,
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
        super().__init__(backbone, teacher, data_preprocessor, init_cfg)
        self.teacher_temp, self.student_temp = teacher_temp, student_temp
        dims = self.backbone.feature_dims()
        hidden = hidden_dims or dims
        self.projector = nn.Sequential(nn.Linear(dims, hidden), nn.ReLU(), nn.Linear(hidden, teacher_dims))
        self.register_buffer('queue', F.normalize(torch.randn(queue_size, teacher_dims), dim=1))
        self.register_buffer('queue_end', torch.zeros(1, dtype=torch.int64))

    def loss(self, inputs: dict[str, Tensor], data_samples: None = None) -> dict[str, Tensor]:
        """Loss of the global crops ``(N, 3, H, W)`` of a batch from ``multi_crop_collate``.

        Raises:
            UserError: If the teacher's image feature has another size than ``teacher_dims``.
        """
        crops = inputs['global_crops']
        features = image_feature(self.teacher(crops))
        if features.shape[1] != self.queue.shape[1]:
            raise UserError(f'teacher_dims is {self.queue.shape[1]}, but the teacher gives {features.shape[1]} numbers')
        target = F.normalize(features.float(), dim=1)
        student = self.projector(self.backbone.image_features(crops))
        with torch.autocast(crops.device.type, enabled=False):
            loss = self.compute_loss(student.float(), target)
        self.enqueue(target)
        return dict(loss=loss)

    def compute_loss(self, student: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the two distributions over the queue and the image's own teacher feature.

        Args:
            student: Projected features ``(N, D)`` in fp32, not normalised.
            target: The teacher's L2-normalised features ``(N, D)``.
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
        """Replace the oldest features of the queue by those ``(N, D)`` of all processes."""
        features = torch.cat(all_gather(target))[-len(self.queue) :]
        places = (self.queue_end + torch.arange(len(features), device=features.device)) % len(self.queue)
        self.queue.index_copy_(0, places, features)
        self.queue_end.add_(len(features)).remainder_(len(self.queue))


def image_feature(outputs: Sequence[Tensor]) -> Tensor:
    """Image features ``(N, D)`` from the outputs of an ordinary backbone, which end in those or in a map."""
    return outputs[-1].mean((2, 3)) if outputs[-1].ndim == 4 else outputs[-1]
