"""What changes in POA's loss over a run: teacher temperature and masked-patch loss (POA, sec. 4.1)."""

from __future__ import annotations

from poa_mm.errors import UserError


class PretrainSchedule:
    """Teacher temperature and start of the masked-patch loss as pure functions of the step.

    All lengths are optimizer steps. By default nothing changes over time.

    Args:
        temp_start: First teacher temperature (POA: 0.04).
        temp_final: Last teacher temperature (POA: 0.07).
        temp_steps: Steps over which the temperature rises linearly.
        patch_loss_start: First step with the masked-patch loss; ``None`` switches it off.

    Raises:
        UserError: If a temperature is not positive or a length is negative.
    """

    def __init__(
        self,
        temp_start: float = 0.04,
        temp_final: float = 0.04,
        temp_steps: int = 0,
        patch_loss_start: int | None = 0,
    ) -> None:
        if not (temp_start > 0 and temp_final > 0):
            raise UserError(f'teacher temperatures must be above 0, got {temp_start} and {temp_final}')
        if temp_steps < 0:
            raise UserError(f'temp_steps must be at least 0, got {temp_steps}')
        self.temp_start, self.temp_final, self.temp_steps = temp_start, temp_final, temp_steps
        self.patch_loss_start = patch_loss_start

    def teacher_temp(self, step: int) -> float:
        """Teacher temperature at a step: a straight line, constant after ``temp_steps``."""
        if step >= self.temp_steps:
            return self.temp_final
        return self.temp_start + (self.temp_final - self.temp_start) * step / self.temp_steps

    def patch_loss(self, step: int) -> bool:
        """Whether the masked-patch loss is on at a step."""
        return self.patch_loss_start is not None and step >= self.patch_loss_start
