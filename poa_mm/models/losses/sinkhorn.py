"""Teacher targets: balanced by Sinkhorn-Knopp, or centred."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed
from torch import Tensor, nn

from poa_mm.errors import UserError
from poa_mm.registry import MODELS


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
    def forward(self, logits: Sequence[Tensor], temperature: float, kind: str = 'image') -> list[Tensor]:
        """Targets of every head.

        Args:
            logits: Teacher logits ``(N, K)`` of every head; ``N`` may differ between processes.
            temperature: Teacher temperature ``t``.
            kind: What the samples are (unused: Sinkhorn-Knopp is stateless).

        Returns:
            Targets ``(N, K)`` in fp32, each row a distribution.
        """
        with torch.autocast(logits[0].device.type, enabled=False):  # matrix products in fp32
            return self._balance([z.float() / temperature for z in logits])

    def _balance(self, scores: list[Tensor]) -> list[Tensor]:
        # One constant for all processes cancels, and keeps exp() in range.
        empty = scores[0].new_full((), -torch.inf)
        peaks = [s.max() if s.numel() else empty for s in scores]
        peaks = _all_reduce(peaks, dist.ReduceOp.MAX)
        scores = [s.sub_(peak).exp_() for s, peak in zip(scores, peaks)]
        columns = [s.new_ones(len(s)) for s in scores]
        for _ in range(self.num_iters):
            totals = _all_reduce([c @ s for c, s in zip(columns, scores)], dist.ReduceOp.SUM)
            rows = [total.reciprocal_() for total in totals]
            columns = [(s @ r).reciprocal_() for s, r in zip(scores, rows)]
        return [s.mul_(r).mul_(c.unsqueeze(1)) for s, r, c in zip(scores, rows, columns)]


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
        self.momentum = momentum
        for kind in ('image', 'patch'):
            for i, k in enumerate(num_prototypes):
                self.register_buffer(f'{kind}_center_{i}', torch.zeros(k))

    @torch.no_grad()
    def forward(self, logits: Sequence[Tensor], temperature: float, kind: str = 'image') -> list[Tensor]:
        """Targets of every head, see :meth:`SinkhornKnopp.forward`; in training the centres move after use."""
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
