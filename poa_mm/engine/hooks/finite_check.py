"""Records steps that were skipped as non-finite, and ends a run that no longer learns because all are."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from poa_mm.errors import NON_FINITE, RunStopped, UserError
from poa_mm.registry import HOOKS

from ..skipped import describe_step, write_step


@HOOKS.register_module()
class FiniteCheckHook(Hook):
    """Ends a run after so many optimizer steps in a row that were skipped because loss or gradients were not finite.

    Each process writes what identifies a skipped step to ``skipped/step_N_rank_R.json`` of the work dir, from which
    ``poa replay`` computes it again.

    The optimizer wrapper (:class:`PoaOptimWrapper`) skips such steps, so the weights stay finite, but the run would go
    on without learning until it ends with exit code 0. Steps are counted on the device, and the count is fetched every
    ``interval`` steps. With fp16, steps are not counted while the gradient scaler still lowers its factor: these are
    its calibration.

    Args:
        limit: Skipped steps in a row that end the run.
        interval: Steps between two looks at the count.
        records: Most steps that a process writes.

    Raises:
        RunStopped: With exit code 3.
        UserError: If an argument is below 1.
    """

    priority = 'LOW'  # before the checkpoint hook

    def __init__(self, limit: int = 50, interval: int = 10, records: int = 100) -> None:
        if limit < 1 or interval < 1 or records < 0:
            raise UserError(
                'limit and interval of FiniteCheckHook must be at least 1 and records at least 0, got '
                f'{limit}, {interval} and {records}'
            )
        self.limit, self.interval, self.records = limit, interval, records

    def before_train(self, runner: Runner) -> None:
        """Start to count."""
        self.row = self.longest = None
        self.pending: list[tuple[int, list[str], Tensor]] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Count, and look at times."""
        wrapper = runner.optim_wrapper
        finite = getattr(wrapper, 'finite', None)
        if finite is None:
            return
        if self.row is None:
            self.row = self.longest = torch.zeros_like(finite)
        counted = 1 - finite
        if (scaler := getattr(wrapper, 'loss_scaler', None)) is not None:
            counted = counted * (scaler._scale < 1)
        self.row = (self.row + counted) * (1 - finite)
        self.longest = torch.maximum(self.longest, self.row)
        values = {**(outputs or {}), **getattr(wrapper, 'grad_norms', {})}
        values = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        row = torch.stack([value.detach().float().mean() for value in [counted, *values.values()]])
        self.pending.append((runner.iter, list(values), row))
        if not (self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)):
            return
        longest, *rows = torch.cat([self.longest.reshape(1), *(row for _, _, row in self.pending)]).tolist()
        self._record(runner, rows)
        if longest >= self.limit:
            raise RunStopped(
                f'{self.limit} optimizer steps in a row had a non-finite loss or gradient, seen at step '
                f'{runner.iter + 1}; the last checkpoint is finite. Resume it with a lower learning rate, '
                'without fp16, or without the images of these steps',
                NON_FINITE,
            )

    def _record(self, runner: Runner, fetched: list[float]) -> None:
        """Write the skipped ones of the pending steps."""
        for iteration, names, row in self.pending:
            (counted, *values), fetched = fetched[: len(row)], fetched[len(row) :]
            if counted and self.records:
                self.records -= 1
                path = write_step(runner.work_dir, describe_step(runner, iteration, dict(zip(names, values))))
                runner.logger.warning(f'step {iteration + 1} was skipped as non-finite: poa replay {path}')
        self.pending.clear()
