"""A sheet of small images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

MARGIN, SPACE, GAP, TITLE, CAPTION = 0.05, 0.05, 0.2, 0.22, 0.16  # inches


def image_grid(
    rows: int,
    columns: int,
    cell: float = 1.5,
    titles: Sequence[str] = (),
    gaps: Sequence[int] = (),
    captions: bool = False,
) -> tuple[Figure, np.ndarray]:
    """A figure of small images. Placed by hand: matplotlib's layout engines take seconds for a hundred axes.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        cell: Side of an image in inches.
        titles: Above the columns.
        gaps: Columns with a gap before them.
        captions: Whether there is room for a line below each image (its ``xlabel``).

    Returns:
        The figure and its axes ``(rows, columns)``.
    """
    lefts = [MARGIN + i * (cell + SPACE) + GAP * sum(gap <= i for gap in gaps) for i in range(columns)]
    step = cell + (CAPTION if captions else SPACE)
    bottoms = [MARGIN + step - cell + (rows - 1 - i) * step for i in range(rows)]
    width, height = lefts[-1] + cell + MARGIN, bottoms[0] + cell + (TITLE if titles or gaps else MARGIN)
    figure = Figure(figsize=(width, height), dpi=110)
    axes = np.empty((rows, columns), dtype=object)
    for (i, bottom), (j, left) in product(enumerate(bottoms), enumerate(lefts)):
        axes[i, j] = one = figure.add_axes((left / width, bottom / height, cell / width, cell / height))
        one.set(xticks=[], yticks=[])
        one.spines[:].set_visible(False)
    for one, title in zip(axes[0], titles):
        one.set_title(title, fontsize=9, pad=3)
    return figure, axes


def show(axes: Axes, image: Tensor | np.ndarray, **style: Any) -> None:
    """Show ``(3, H, W)`` uint8, or a map ``(H, W)`` or ``(H, W, 3)`` stretched to the unit square."""
    if isinstance(image, Tensor):
        image = image.permute(1, 2, 0).cpu().numpy() if image.ndim == 3 and len(image) == 3 else image.cpu().numpy()
    axes.imshow(image, extent=(0, 1, 1, 0), aspect='equal', **style)


def rendered(figure: Figure) -> np.ndarray:
    """A figure as an image ``(H, W, 3)`` uint8 RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
