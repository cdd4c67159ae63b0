"""Stochastic depth that computes only the samples it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Shapes = Sequence[tuple[int, int]]


def add_residual(x: Tensor, shapes: Shapes, branch: Callable[[Tensor, Shapes], Tensor], rate: float) -> Tensor:
    """``x + branch(x)``, where the branch runs on a random share ``1 - rate`` of the samples.

    Of ``N`` samples ``int((1 - rate) N)`` are drawn (at least one), and their branch is scaled by ``N`` over
    that number. The authors compute rates up to 0.1 on all samples and mask; a subset costs less at any rate.

    Args:
        x: Tokens of all crop sizes, ``(T, D)``.
        shapes: The ``(N, L)`` of every crop size; their products add up to ``T``.
        branch: Maps tokens ``(T', D)`` and their shapes to ``(T', D)``.
        rate: Share of samples that skip the branch; 0 runs it on all.

    Returns:
        Tokens ``(T, D)``.
    """
    if rate == 0:
        return x + branch(x, shapes)
    parts = x.split([n * length for n, length in shapes])
    parts = [part.view(n, -1) for part, (n, _) in zip(parts, shapes)]
    kept = [torch.randperm(n, device=x.device)[: max(1, int(n * (1 - rate)))] for n, _ in shapes]
    kept_shapes = [(len(index), length) for index, (_, length) in zip(kept, shapes)]
    # index_select and not [], whose gradient is prepared for indices that occur twice and takes several times as long.
    chosen = [part.index_select(0, index).view(-1, x.shape[-1]) for part, index in zip(parts, kept)]
    out = branch(torch.cat(chosen), kept_shapes).to(x.dtype)
    sums = [
        part.index_add(0, index, o.view(len(index), -1), alpha=len(part) / len(index)).view(-1, x.shape[-1])
        for part, index, o in zip(parts, kept, out.split([len(c) for c in chosen]))
    ]
    return torch.cat(sums)
