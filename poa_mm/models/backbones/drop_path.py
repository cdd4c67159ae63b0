"""Stochastic depth that computes only the samples it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

Shapes = Sequence[tuple[int, int]]


class Kept(NamedTuple):
    """The samples of which a residual branch is computed, among ``N`` samples of ``L`` tokens for every crop size.

    Args:
        shapes: The ``(N', L)`` that are kept of every crop size.
        scales: ``N / N'`` of every crop size.
        rows: Where their tokens are among all, ``(T',)``.
        places: Where each token is among those kept, ``(T,)``; -1 if it is not.
    """

    shapes: Shapes
    scales: Sequence[float]
    rows: Tensor
    places: Tensor


def draw_kept(shapes: Shapes, rates: Sequence[float], device: torch.device) -> list[Kept | None]:
    """What each residual branch of a pass keeps; all of them are drawn at once.

    Of ``N`` samples ``int((1 - rate) N)`` are drawn (at least one). The authors compute rates up to 0.1 on all samples
    and mask; a subset costs less at any rate.

    Args:
        shapes: The ``(N, L)`` of every crop size.
        rates: Share of the samples that skip each branch.
        device: Of the tokens.

    Returns:
        For every branch what it keeps; ``None``, with a rate of 0, is everything.
    """
    if not any(rates):
        return [None] * len(rates)
    orders = [torch.rand(len(rates), n, device=device).argsort(1) for n, _ in shapes]
    drawn: list[Kept | None] = []
    for rate, group in groupby(rates):
        branches = slice(len(drawn), len(drawn) + len(list(group)))
        if rate == 0:
            drawn += [None] * (branches.stop - branches.start)
            continue
        rows, kept_shapes, start = [], [], 0
        for order, (n, length) in zip(orders, shapes):
            kept = order[branches, : max(1, int(n * (1 - rate)))]
            tokens = torch.arange(start, start + length, device=device)
            rows.append((kept.unsqueeze(2) * length + tokens).flatten(1))
            kept_shapes.append((kept.shape[1], length))
            start += n * length
        rows = torch.cat(rows, 1)
        places = torch.arange(rows.shape[1], device=device).expand_as(rows)
        places = rows.new_full((len(rows), start), -1).scatter_(1, rows, places)
        scales = [n / kept for (n, _), (kept, _) in zip(shapes, kept_shapes)]
        drawn += [Kept(kept_shapes, scales, *pair) for pair in zip(rows, places)]
    return drawn


def add_residual(x: Tensor, shapes: Shapes, branch: Callable[[Tensor, Shapes], Tensor], kept: Kept | None) -> Tensor:
    """``x + branch(x)``, where the branch runs on the samples that are kept, scaled by ``N / N'``.

    Args:
        x: Tokens of all crop sizes, ``(T, D)``.
        shapes: The ``(N, L)`` of every crop size; their products add up to ``T``.
        branch: Maps tokens ``(T', D)`` and their shapes to ``(T', D)``.
        kept: What :func:`draw_kept` drew; ``None`` keeps all samples.

    Returns:
        Tokens ``(T, D)``.
    """
    if kept is None:
        return x + branch(x, shapes)
    taken, x = TakeRows.apply(x, kept.rows, kept.places)
    out, scale = branch(taken, kept.shapes), kept.scales[0]
    if len(set(kept.scales)) > 1:
        parts = out.split([n * length for n, length in kept.shapes])
        out = torch.cat([part * (other / scale) for part, other in zip(parts, kept.scales)])
    return AddRows.apply(x, out, kept.rows, kept.places, scale)


class TakeRows(torch.autograd.Function):
    """Some rows of a matrix, and the matrix again, so that the gradients of both can be added in one pass."""

    @staticmethod
    def forward(ctx, x: Tensor, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(rows, places)
        return x.index_select(0, rows), x.view_as(x)

    @staticmethod
    def backward(ctx, taken: Tensor, rest: Tensor) -> tuple:
        return add_rows(rest, taken, *ctx.saved_tensors, 1.0), None, None


class AddRows(torch.autograd.Function):
    """A matrix with ``scale`` times other rows added to some of its own."""

    @staticmethod
    def forward(ctx, x: Tensor, added: Tensor, rows: Tensor, places: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.scale, ctx.dtype = scale, added.dtype
        return add_rows(x, added, rows, places, scale)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        (rows,) = ctx.saved_tensors
        return grad, (ctx.scale * grad.index_select(0, rows)).to(ctx.dtype), None, None, None


def add_rows(x: Tensor, added: Tensor, rows: Tensor, places: Tensor, scale: float) -> Tensor:
    """``x`` with ``scale * added`` added to its ``rows``, no row twice.

    Compiled, every row looks up what is added to it, so that all is one pass that joins what comes before and after.
    """
    if torch.compiler.is_compiling():
        found = added.index_select(0, places.clamp(min=0)).to(x.dtype)
        return x + torch.where((places >= 0).unsqueeze(1), scale * found, 0.0)
    return x.index_add(0, rows, added.to(x.dtype), alpha=scale)
