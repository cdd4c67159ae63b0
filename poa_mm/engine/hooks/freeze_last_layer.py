"""Freezes the prototype layers early in training."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_mm.errors import UserError
from poa_mm.registry import HOOKS


@HOOKS.register_module()
class FreezeLastLayerHook(Hook):
    """Learning rate 0 for the last layer of each head during the first steps (POA: one epoch).

    AdamW multiplies weight decay by the learning rate, so the parameters do not change at all.
    Needs the tags of ``LayerDecayOptimWrapperConstructor`` and a closed-form scheduler
    (``CosineLR``), which sets the learning rate again at every step.

    Args:
        steps: Optimizer steps to freeze.

    Raises:
        UserError: ``steps`` is negative, or no parameter group is tagged as last layer.
    """

    def __init__(self, steps: int) -> None:
        if steps < 0:
            raise UserError(f'steps must be at least 0, got {steps}.')
        self.steps = steps

    def before_train(self, runner: Runner) -> None:
        """Find the parameter groups."""
        groups = runner.optim_wrapper.optimizer.param_groups
        self.groups = [group for group in groups if group.get('is_last_layer')]
        if not self.groups:
            raise UserError(
                "FreezeLastLayerHook found no parameter group of a head's last_layer; use "
                'LayerDecayOptimWrapperConstructor and a head with last_layer.'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Set the learning rate of the groups to 0 during the first steps."""
        if runner.iter < self.steps:
            for group in self.groups:
                group['lr'] = 0.0
