"""The images that a network finds most alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from .canvas import image_grid, show


def nearest(features: Tensor, queries: Sequence[int], k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` other images nearest to each query, by cosine similarity.

    Args:
        features: Image features of all images ``(N, D)``.
        queries: Indices of the queries.
        k: Number of neighbours; fewer where there are not so many images.

    Returns:
        Indices ``(Q, k)`` and similarities ``(Q, k)``, the nearest first.
    """
    normed = F.normalize(features.float().cpu(), dim=-1)
    index = torch.as_tensor(queries)
    similarity = normed[index] @ normed.T
    similarity[torch.arange(len(index)), index] = -torch.inf
    values, found = similarity.topk(min(k, len(features) - 1), dim=1)
    return found, values


def draw_neighbours(pixels: Tensor, queries: Sequence[int], columns: Sequence[tuple[str, Tensor, Tensor]]) -> Figure:
    """A row for each query: itself, then its neighbours by every network, with their similarity.

    Args:
        pixels: All images ``(N, 3, S, S)`` uint8.
        queries: Indices of the queries.
        columns: Label, indices and similarities of :func:`nearest` of every network.
    """
    k = columns[0][1].shape[1]
    figure, axes = image_grid(
        len(queries), 1 + k * len(columns), 1.2, gaps=range(1, 1 + k * len(columns), k), captions=True
    )
    for c, (label, found, values) in enumerate(columns):
        for r, query in enumerate(queries):
            show(axes[r, 0], pixels[query])
            for j in range(k):
                cell = axes[r, 1 + c * k + j]
                show(cell, pixels[found[r, j]])
                cell.set_xlabel(f'{values[r, j]:.2f}', fontsize=7, labelpad=1)
        axes[0, 1 + c * k].set_title(label, fontsize=9, loc='left', pad=3)
    axes[0, 0].set_title('query', fontsize=9, loc='left', pad=3)
    return figure
