"""Curves of accuracy over the corruption of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from poa_mm.errors import UserError

from .knn_pictures import standard_error
from .pictures import COLOURS, save_figure
from .tables import CORRUPTIONS

MARKERS = 'osD^vPX'


def plot_robustness(
    results: Sequence[Mapping[str, Any]],
    path: str | Path,
    title: str = '',
    classes: int | None = None,
    images: int | None = None,
) -> Path:
    """Curves of all networks, one panel for each kind of corruption.

    Args:
        results: Entries of a result file of ``poa robustness``.
        path: Picture to write, in the format of its suffix.
        title: Above the picture.
        classes: Number of classes, for the line of chance; ``None`` for no line.
        images: Number of validation images, for bars of one standard error; ``None`` for no bars.

    Raises:
        UserError: If there is nothing to draw.
    """
    if not results:
        raise UserError('the results do not contain a network: nothing to draw')
    figure = Figure(figsize=(9, 3.8), dpi=150, layout='constrained')
    for axes, (kind, label) in zip(figure.subplots(1, 2, sharey=True), CORRUPTIONS.items()):
        for i, result in enumerate(results):
            levels = list(map(_place, result[kind]))
            name = result['name'] if result['kind'] == 'pretrained' else f'{result["name"]}, {result["kind"]}'
            style = dict(color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], ms=4, lw=1.4)
            values = np.array(list(result[kind].values()))
            bars = standard_error(values, images) if images else None
            axes.errorbar(levels, values, bars, label=name, elinewidth=0.8, **style)
        if classes:
            axes.axhline(100 / classes, color='#666666', lw=1, ls=(0, (1, 2)), label='chance', zorder=1)
        axes.set_xlabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(True, color='#e6e6e6', lw=0.8)
        axes.spines[['top', 'right']].set_visible(False)
        if kind == 'shuffling':
            axes.set_xticks(levels, list(result[kind]))
        else:
            axes.set_ylabel('accuracy, %' + ('; bars: ± one standard error' if images else ''))
    lines, labels = axes.get_legend_handles_labels()
    style = dict(frameon=False, fontsize=8, loc='outside upper left', ncols=6, alignment='left')
    figure.legend(lines, labels, title=title or None, **style)
    return save_figure(figure, path)


def _place(level: str) -> float:
    """Where a level is on the axis: a grid of other than square tiles at the side of as many square ones."""
    rows, _, columns = level.partition('x')
    return (int(rows) * int(columns)) ** 0.5 if columns else float(level)
