"""Which patches of two images are each other's nearest (POA, figure 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from torch import Tensor

from poa_mm.datasets.multi_crop import View, random_box, random_view

from .canvas import image_grid, show

NEUTRAL, RIGHT, WRONG = '#F0E442', '#009E73', '#D55E00'


class Matches(NamedTuple):
    """Pairs of patches, the most similar first; points are centres of patches, in image sides from the top left."""

    first: Tensor  # (M, 2), x and y
    second: Tensor  # (M, 2)
    similarity: Tensor  # (M,), cosine


def mutual_matches(first: Tensor, second: Tensor) -> Matches:
    """All pairs of patches that are each other's nearest neighbour by cosine similarity.

    Args:
        first: Map of patch features ``(h, w, D)``.
        second: Map of patch features ``(h', w', D)``.
    """
    a, b = (F.normalize(m.flatten(0, 1).float().cpu(), dim=-1) for m in (first, second))
    similarity = a @ b.T
    best, back = similarity.argmax(1), similarity.argmax(0)
    index = (back[best] == torch.arange(len(a))).nonzero().squeeze(1)
    values = similarity[index, best[index]]
    index = index[values.argsort(descending=True, stable=True)]
    partner = best[index]
    return Matches(_centres(index, first.shape), _centres(partner, second.shape), similarity[index, partner])


def _centres(index: Tensor, shape: Sequence[int]) -> Tensor:
    rows, columns = shape[:2]
    return torch.stack([(index % columns + 0.5) / columns, (index // columns + 0.5) / rows], dim=1)


class ViewPair(NamedTuple):
    """An image and a random view of it."""

    image: np.ndarray  # (S, S, 3) uint8 RGB
    view: np.ndarray  # (S, S, 3) uint8 RGB
    box: tuple[int, int, int, int]  # top, left, height, width in pixels of the image
    flipped: bool

    def locate(self, points: Tensor) -> Tensor:
        """Where points ``(M, 2)`` of the view lie in the image, both in sides of their images."""
        top, left, height, width = (value / len(self.image) for value in self.box)
        x = 1 - points[:, 0] if self.flipped else points[:, 0]
        return torch.stack([left + x * width, top + points[:, 1] * height], dim=1)


def view_pair(image: np.ndarray, seed: int) -> ViewPair:
    """An image ``(S, S, 3)`` uint8 RGB and a view of 30 to 60 % of its area, with other colours and perhaps flipped."""
    view = View(size=len(image), scale=(0.3, 0.6), jitter=1.0, grayscale=0.0)
    rng = np.random.default_rng(seed)  # random_view draws the box first, then the flip
    box, flipped = random_box(*image.shape[:2], view, rng), bool(rng.random() < view.flip)
    return ViewPair(image, random_view(image, view, np.random.default_rng(seed)), box, flipped)


def correct(matches: Matches, pair: ViewPair, patches: int) -> Tensor:
    """Which matches ``(M,)`` between a pair's image and view lie within one patch, of so many a side, of the truth."""
    distance = (matches.first - pair.locate(matches.second)).abs().amax(1)
    return distance <= 1 / patches


def draw_pairs(
    rows: Sequence[tuple[np.ndarray, np.ndarray]],
    columns: Sequence[tuple[str, Sequence[Matches], Sequence[Tensor] | None]],
    lines: int = 20,
) -> Figure:
    """A row for each pair of images, a column for each network, lines between the most similar patches.

    Args:
        rows: Both images ``(S, S, 3)`` uint8 of every pair.
        columns: Label, matches, and which of them are right where that is known, of every network.
        lines: At most so many a pair.
    """
    figure, axes = image_grid(len(rows), 2 * len(columns), 1.7, gaps=range(2, 2 * len(columns), 2))
    for c, (label, found, truth) in enumerate(columns):
        for r, images in enumerate(rows):
            cells = axes[r, 2 * c : 2 * c + 2]
            for cell, image in zip(cells, images):
                show(cell, image)
            if r == 0:
                cells[0].set_title(label, fontsize=9, loc='left', pad=3)
            for i in range(min(lines, len(found[r].first))):
                colour = NEUTRAL if truth is None else RIGHT if truth[r][i] else WRONG
                points = [tuple(found[r].first[i].tolist()), tuple(found[r].second[i].tolist())]
                style = dict(color=colour, lw=0.9, alpha=0.9, zorder=5)
                line = ConnectionPatch(*points, 'data', 'data', axesA=cells[0], axesB=cells[1], **style)
                figure.add_artist(line)
                for cell, (x, y) in zip(cells, points):
                    cell.plot(x, y, 'o', color=colour, ms=2.5, zorder=6)
    return figure
