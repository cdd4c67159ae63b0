"""Learning rate and weight decay over the run, in closed form."""

from mmengine.optim import CosineAnnealingLR
from mmengine.optim.scheduler.param_scheduler import OptimizerType, _ParamScheduler

from poa_mm.errors import UserError
from poa_mm.registry import PARAM_SCHEDULERS

from .schedules import cosine, full_length


class CosineParam(_ParamScheduler):
    """Cosine of one setting of the optimizer: ``value = initial value of the group x factor(step)``.

    The factor goes from 1 to ``final / (value in the optimizer's config)``. So groups keep their
    ratio, also at the end, and a group that started at 0 stays there. It is a function of the step
    alone: what a hook wrote into a group (a frozen last layer) is gone at the next step, and on
    resuming only the step is read from the checkpoint, the rest follows the config.

    Args:
        optimizer: Optimizer or optimizer wrapper.
        param_name: Key in the parameter groups.
        steps: Optimizer steps of the run.
        final: Value at the end of the cosine, for a group whose initial value is the optimizer config's.
        warmup: Steps of linear warm-up from 0.
        run_fraction: Part of the cosine that the run sees; below 1 the run ends before the cosine does.
        end: Not used. MMEngine's runner fills it in for every scheduler.

    Raises:
        UserError: A length is out of range, or the optimizer config's value is not positive.
    """

    def __init__(
        self,
        optimizer: OptimizerType,
        param_name: str,
        steps: int,
        final: float,
        warmup: int = 0,
        run_fraction: float = 1.0,
        end: int | None = None,
    ) -> None:
        if end is not None and end < 1:
            raise UserError(f"end is MMEngine's last step; write the last value as final={end}.")
        self.start = optimizer.defaults[param_name]
        if not self.start > 0:
            raise UserError(f'A cosine multiplies its start: {param_name} must be above 0, got {self.start}.')
        self.final = final
        self.warmup = warmup
        self.steps = steps
        self.total = full_length(steps, run_fraction)
        super().__init__(optimizer, param_name, by_epoch=False)

    def _get_value(self) -> list[float]:
        value = cosine(self.last_step, self.start, self.final, self.total, self.warmup)
        return [base * value / self.start for base in self.base_values]

    def _apply(self) -> None:
        self._last_value = self._get_value()
        for group, value in zip(self.optimizer.param_groups, self._last_value):
            group[self.param_name] = value

    def state_dict(self) -> dict:
        """The number of steps done; everything else is in the config."""
        return dict(last_step=self.last_step, _global_step=self._global_step)

    def load_state_dict(self, state_dict: dict) -> None:
        """Go to the step of the checkpoint and set the values of all groups."""
        super().load_state_dict(state_dict)
        self._apply()


@PARAM_SCHEDULERS.register_module()
class CosineLR(CosineParam):
    """Cosine learning rate with linear warm-up; see :class:`CosineParam`.

    ``final`` is for a group without lr multiplier: a layer-decayed group ends at ``final x multiplier``.
    """

    def __init__(self, optimizer: OptimizerType, **kwargs) -> None:
        super().__init__(optimizer, 'lr', **kwargs)


@PARAM_SCHEDULERS.register_module()
class CosineWeightDecay(CosineParam):
    """Cosine weight decay; groups without weight decay stay without. See :class:`CosineParam`."""

    def __init__(self, optimizer: OptimizerType, **kwargs) -> None:
        super().__init__(optimizer, 'weight_decay', **kwargs)


@PARAM_SCHEDULERS.register_module()
class ProportionalCosineLR(CosineAnnealingLR):
    """MMEngine's ``CosineAnnealingLR`` for layer-wise learning rates.

    There every group ends at ``eta_min``, and groups of low layers, which start below it, would even rise. Here
    ``eta_min`` is the end of a group whose learning rate is the optimizer config's, and all groups keep their ratio to
    it: those with layer decay or ``scaled_lr`` end at their multiple of it.

    Args:
        optimizer: Optimizer or optimizer wrapper.
        eta_min: Last learning rate of a group without multiplier.
        kwargs: Of ``CosineAnnealingLR``.
    """

    def __init__(self, optimizer: OptimizerType, *, eta_min: float, **kwargs) -> None:
        super().__init__(optimizer, eta_min=eta_min, **kwargs)
        self.eta_min_ratio = eta_min / optimizer.defaults['lr']
