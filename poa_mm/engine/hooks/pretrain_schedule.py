"""Tells the POA model the time."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_mm.errors import UserError
from poa_mm.registry import HOOKS

from ..schedules import linear
from .common import optimizer_step, unwrapped


@HOOKS.register_module()
class PretrainScheduleHook(Hook):
    """Sets ``model.step``, ``model.teacher_temp`` and ``model.patch_loss`` before every iteration.

    A sub-network sampler without a seed of its own gets the run's. All lengths are optimizer steps.

    Args:
        temp_start: First teacher temperature (POA: 0.04).
        temp_final: Last teacher temperature (POA: 0.07).
        temp_steps: Steps in which it rises linearly.
        patch_loss_start: Step from which on the masked-patch loss is active; None for never.
    """

    def __init__(self, temp_start: float, temp_final: float, temp_steps: int, patch_loss_start: int | None) -> None:
        if not (temp_start > 0 and temp_final > 0):
            raise UserError(f'Temperatures must be above 0, got {temp_start} and {temp_final}.')
        if temp_steps < 0:
            raise UserError(f'temp_steps must be at least 0, got {temp_steps}.')
        self.temp_start = temp_start
        self.temp_final = temp_final
        self.temp_steps = temp_steps
        self.patch_loss_start = patch_loss_start

    def before_train(self, runner: Runner) -> None:
        """Give the sampler its seed."""
        sampler = unwrapped(runner).sampler
        if sampler is not None and sampler.seed is None:
            sampler.seed = runner.seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Set the three attributes of the model."""
        model = unwrapped(runner)
        step = optimizer_step(runner)
        model.step = step
        model.teacher_temp = linear(step, self.temp_start, self.temp_final, self.temp_steps)
        model.patch_loss = self.patch_loss_start is not None and step >= self.patch_loss_start
        runner.message_hub.update_scalar('train/teacher_temp', model.teacher_temp)
