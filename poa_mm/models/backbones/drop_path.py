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
    rows, kept_shapes, scales, start = [], [], [], 0
    for n, length in shapes:
        kept = torch.randperm(n, device=x.device)[: max(1, int(n * (1 - rate)))]
        rows.append((kept.unsqueeze(1) * length + torch.arange(start, start + length, device=x.device)).flatten())
        kept_shapes.append((len(kept), length))
        scales.append(n / len(kept))
        start += n * length
    # index_select and not [], whose gradient is prepared for indices that occur twice and takes several times as long.
    index = torch.cat(rows)
    out = branch(x.index_select(0, index), kept_shapes).to(x.dtype)
    if len(set(scales)) > 1:
        out = torch.cat([o * (scale / scales[0]) for o, scale in zip(out.split([len(r) for r in rows]), scales)])
    return x.index_add(0, index, out, alpha=scales[0])
