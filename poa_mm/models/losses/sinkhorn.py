"""Teacher targets: balanced by Sinkhorn-Knopp, or centred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed
from torch import Tensor, nn

from poa_mm.errors import UserError
from poa_mm.registry import MODELS

from .fused import fused, is_fusing

Logits = Mapping[str, Sequence[Tensor]]
"""Outputs of every head for the global crops, ``'image'``, and for masked patches, ``'patch'``."""


def _all_reduce(tensors: list[Tensor], op: dist.ReduceOp.RedOpType) -> list[Tensor]:
    """The tensors reduced over all processes, in one collective."""
    if not is_distributed():
        return tensors
    flat = torch.cat([t.flatten() for t in tensors])
    dist.all_reduce(flat, op)
    return [part.view_as(t) for part, t in zip(flat.split([t.numel() for t in tensors]), tensors)]


@MODELS.register_module()
class SinkhornKnopp(nn.Module):
    """Targets that use all prototypes equally (POA, sec. 3.3, after Caron et al., SwAV).

    ``Q = exp(z / t)`` is scaled until every prototype has the total ``1 / K`` and every sample ``1 / B`` over
    the batch of all processes; then every sample sums to 1. The matrix is never rewritten: its balanced form is
    ``Q_jk r_k c_j``, and an iteration only renews the factors ``r`` of the prototypes and ``c`` of the samples.
    Constant factors (``K``, ``B``, the sum of ``Q``) cancel, so ``B`` is the number of samples really there.

    Args:
        num_iters: Rounds of balancing.
    """

    def __init__(self, num_iters: int = 3) -> None:
        super().__init__()
        if num_iters < 1:
            raise UserError(f'num_iters must be at least 1, got {num_iters}')
        self.num_iters = num_iters

    @torch.no_grad()
    def forward(self, logits: Logits, temperature: float) -> dict[str, list[Tensor]]:
        """Targets of every head, for images and for patches; the processes exchange the sums of all of them together.

        Args:
            logits: Teacher logits ``(N, K)`` of every head, by kind of sample; ``N`` may differ between processes.
            temperature: Teacher temperature ``t``.

        Returns:
            Targets ``(N, K)`` in fp32 by kind, each row a distribution.
        """
        matrix = Recomputed if is_fusing() else Stored
        matrices = [matrix(z, temperature) for heads in logits.values() for z in heads]
        with torch.autocast(matrices[0].logits.device.type, enabled=False):  # matrix products in fp32
            targets = iter(self._balance(matrices))
        return {kind: [next(targets) for _ in heads] for kind, heads in logits.items()}

    def _balance(self, matrices: list[Stored] | list[Recomputed]) -> list[Tensor]:
        # One constant for each prototype, the same in all processes, cancels. It keeps exp() in range also where a
        # prototype is far from every sample and the temperature low.
        for matrix, peaks in zip(matrices, _all_reduce([m.peaks() for m in matrices], dist.ReduceOp.MAX)):
            matrix.divide_by_exp(peaks)
        columns = [m.logits.new_ones(len(m.logits), dtype=torch.float) for m in matrices]
        for _ in range(self.num_iters):
            totals = _all_reduce([m.over_samples(c) for m, c in zip(matrices, columns)], dist.ReduceOp.SUM)
            rows = [total.reciprocal_() for total in totals]
            columns = [m.over_prototypes(r).reciprocal_() for m, r in zip(matrices, rows)]
        return [m.balanced(r, c) for m, r, c in zip(matrices, rows, columns)]


class Stored:
    """``Q = exp(z / t - peaks)`` kept in fp32, and its sums.

    Args:
        logits: Teacher logits ``(N, K)``.
        temperature: Teacher temperature ``t``.
    """

    def __init__(self, logits: Tensor, temperature: float) -> None:
        self.logits = logits
        self.values = logits.float() / temperature

    def peaks(self) -> Tensor:
        """The largest exponent of every prototype, ``(K,)``; minus infinity without samples."""
        return self.values.amax(0) if len(self.values) else self.values.new_full(self.values.shape[1:], -torch.inf)

    def divide_by_exp(self, peaks: Tensor) -> None:
        """Choose the constants, before the sums."""
        self.values = self.values.sub_(peaks).exp_()

    def over_samples(self, columns: Tensor) -> Tensor:
        """``sum_k Q_jk c_j`` for every prototype, ``(K,)``."""
        return columns @ self.values

    def over_prototypes(self, rows: Tensor) -> Tensor:
        """``sum_j Q_jk r_k`` for every sample, ``(N,)``."""
        return self.values @ rows

    def balanced(self, rows: Tensor, columns: Tensor) -> Tensor:
        """``Q_jk r_k c_j``, ``(N, K)``; ends the use of this object."""
        return self.values.mul_(rows).mul_(columns.unsqueeze(1))


class Recomputed(Stored):
    """The same with ``Q`` computed anew from the logits in every sum, which on a GPU costs less than reading it."""

    def __init__(self, logits: Tensor, temperature: float) -> None:
        self.logits = logits
        # On the device: another number in every step would be compiled anew.
        self.temperature = logits.new_full((), temperature, dtype=torch.float)

    def peaks(self) -> Tensor:
        if not len(self.logits):
            return self.temperature.new_full(self.logits.shape[1:], -torch.inf)
        return self.logits.amax(0).float() / self.temperature

    def divide_by_exp(self, peaks: Tensor) -> None:
        self.arguments = self.logits, self.temperature, peaks

    def over_samples(self, columns: Tensor) -> Tensor:
        return sum_over_samples.compiled(*self.arguments, columns)

    def over_prototypes(self, rows: Tensor) -> Tensor:
        return sum_over_prototypes.compiled(*self.arguments, rows)

    def balanced(self, rows: Tensor, columns: Tensor) -> Tensor:
        return scaled.compiled(*self.arguments, rows, columns)


@fused
def sum_over_samples(logits: Tensor, temperature: Tensor, peaks: Tensor, columns: Tensor) -> Tensor:
    """See :meth:`Stored.over_samples`."""
    return ((logits.float() / temperature - peaks).exp() * columns.unsqueeze(1)).sum(0)


@fused
def sum_over_prototypes(logits: Tensor, temperature: Tensor, peaks: Tensor, rows: Tensor) -> Tensor:
    """See :meth:`Stored.over_prototypes`."""
    return ((logits.float() / temperature - peaks).exp() * rows).sum(1)


@fused
def scaled(logits: Tensor, temperature: Tensor, peaks: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """See :meth:`Stored.balanced`."""
    return (logits.float() / temperature - peaks).exp() * rows * columns.unsqueeze(1)


@MODELS.register_module()
class Centering(nn.Module):
    """Targets ``softmax((z - c) / t)`` with a moving average ``c`` of the logits (Caron et al., DINO).

    Image and patch tokens have centres of their own.

    Args:
        num_prototypes: Number of prototypes of every head.
        momentum: Share of the old centre that stays in each step.
    """

    def __init__(self, num_prototypes: Sequence[int], momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum, self.num_prototypes = momentum, tuple(num_prototypes)
        for kind in ('image', 'patch'):
            for i, k in enumerate(self.num_prototypes):
                self.register_buffer(f'{kind}_center_{i}', torch.zeros(k))

    @torch.no_grad()
    def forward(self, logits: Logits, temperature: float) -> dict[str, list[Tensor]]:
        """Targets of every head, see :meth:`SinkhornKnopp.forward`; in training the centres move after use."""
        return {kind: self._centered(heads, temperature, kind) for kind, heads in logits.items()}

    def _centered(self, logits: Sequence[Tensor], temperature: float, kind: str) -> list[Tensor]:
        centers = [getattr(self, f'{kind}_center_{i}') for i in range(len(logits))]
        targets = [((z.float() - c) / temperature).softmax(-1) for z, c in zip(logits, centers)]
        if self.training:
            count = logits[0].new_full((1,), len(logits[0]), dtype=torch.float)
            *sums, count = _all_reduce([z.float().sum(0) for z in logits] + [count], dist.ReduceOp.SUM)
            for center, total in zip(centers, sums):
                moved = center.lerp(total / count, 1 - self.momentum)
                # A batch that is not finite must leave no trace.
                center.copy_(torch.where(moved.isfinite().all(), moved, center))
        return targets
