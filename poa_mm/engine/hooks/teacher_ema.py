"""EMA update of the teacher."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS

from ..fully_sharded import local
from ..schedules import cosine, full_length


@HOOKS.register_module()
class TeacherEMAHook(Hook):
    """``teacher = m teacher + (1 - m) student`` after every optimizer step that was applied.

    ``model.teacher`` holds a copy of the student under the same names (``teacher.backbone.x`` for
    ``backbone.x``, ``teacher.head.y`` for ``head.y``). Parameters are averaged, buffers copied. The
    momentum ``m`` follows a cosine. A step that the optimizer wrapper skipped leaves the teacher as it is (decided on
    the device by the wrapper's ``finite``). One iteration must be one optimizer step, as in ``StepTrainLoop``.

    Args:
        start: Momentum at the first step (POA: 0.992).
        final: Momentum at the end of the cosine (POA: 0.9999).
        steps: Optimizer steps of the run.
        run_fraction: Part of the cosine that the run sees.

    Raises:
        UserError: A momentum is not in [0, 1], or a length is out of range.
    """

    # Before hooks that evaluate (NORMAL) or save (VERY_LOW) the teacher.
    priority = 'HIGH'

    def __init__(self, start: float, final: float, steps: int, run_fraction: float = 1.0) -> None:
        if not (0 <= start <= 1 and 0 <= final <= 1):
            raise UserError(f'Momentum must be from 0 to 1, got start={start} and final={final}.')
        self.start = start
        self.final = final
        self.steps = steps
        self.total = full_length(steps, run_fraction)

    def before_train(self, runner: Runner) -> None:
        """Pair each tensor of the teacher with the student's of the same name."""
        model = unwrapped(runner.model)
        named = list(model.teacher.named_parameters())
        self.teacher = [local(param) for _, param in named]
        self.student = [local(model.get_parameter(name)) for name, _ in named]
        self.buffers = [(buffer, model.get_buffer(name)) for name, buffer in model.teacher.named_buffers()]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Update the teacher."""
        momentum = cosine(runner.iter, self.start, self.final, self.total)
        runner.message_hub.update_scalar('train/momentum', momentum)
        self.update(momentum, getattr(runner.optim_wrapper, 'finite', None))

    @torch.no_grad()
    def update(self, momentum: float, finite: Tensor | None = None) -> None:
        """One update.

        Args:
            momentum: Weight of the old teacher.
            finite: 0-dim float tensor, 0 to leave the teacher as it is and 1 to update; None means 1.
        """
        if finite is None:
            torch._foreach_lerp_(self.teacher, self.student, 1 - momentum)
        else:
            self._lerp_unless(1 - finite, 1 - momentum)
        for teacher, student in self.buffers:
            teacher.copy_(student if finite is None else torch.where(finite > 0, student, teacher))

    def _lerp_unless(self, skip: Tensor, weight: float) -> None:
        """``_foreach_lerp_`` unless ``skip`` is 1, which only the device knows.

        Lerp with weights on the device is a kernel a tensor. Gradient descent is one for all and can be told to do
        nothing: with the student as gradient, negated, and a weight decay of 1, ``t - w (t - s)``.
        """
        torch._fused_sgd_(
            self.teacher,
            self.student,
            [],
            lr=weight,
            weight_decay=1.0,
            maximize=True,
            found_inf=skip,
            momentum=0.0,
            dampening=0.0,
            nesterov=False,
            is_first_step=False,
        )
