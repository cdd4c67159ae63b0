"""Accuracy over model size: as a curve, and as a map of width and depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from poa_mm.errors import UserError

from .labels import label_points
from .pictures import save_figure

Results = Sequence[Mapping[str, Any]]

STYLES = {  # colours that differ for colour-blind readers and in print
    'pretrained': dict(color='#0072B2', marker='o', label='pre-trained'),
    'extracted': dict(color='#009E73', marker='^', label='extracted'),
    'untrained': dict(color='#767676', marker='s', label='untrained'),
}
SINGLE_STYLE = dict(color='#D55E00', marker='D', label='each trained alone')
PIXEL_STYLE = dict(color='black', lw=1, ls=(0, (5, 3)), zorder=2.5, label='raw pixels')
CHANCE_STYLE = dict(color='#666666', lw=1, ls=(0, (1, 2)), zorder=2.4, label='chance')
MIN_SPAN = 5.0  # per cent: smallest range of a heat map's colours where the number of queries is not known
SPAN_ERRORS = 8  # the same in standard errors: of equal networks, most lie within 4 of each other


def plot_size_curve(
    results: Results,
    path: str | Path,
    single: Results = (),
    k: int | None = None,
    title: str = '',
    queries: int | None = None,
    classes: int | None = None,
) -> Path:
    """Accuracy of the sub-networks over their number of parameters.

    Each network is a dot; the line is the best pre-trained network up to each size. Bars are one standard error of the
    queries (:func:`standard_error`).

    Args:
        results: Entries of k-NN result files (kinds of :data:`STYLES`, and ``thumbnails``).
        path: Picture to write, in the format of its suffix.
        single: Entries for networks that were trained alone.
        k: Number of neighbours; ``None`` for each network's best.
        title: Above the picture.
        queries: Number of queries, for the error bars; ``None`` for no bars.
        classes: Number of classes, for the line of chance; ``None`` for no line.

    Raises:
        UserError: If the results have no sub-network, or no accuracy for this k.
    """
    if not any(result['kind'] in STYLES for result in results):
        raise UserError('the results do not contain a sub-network: nothing to draw')
    figure = Figure(figsize=(7.5, 5), dpi=150, layout='constrained')
    axes = figure.subplots()
    labelled: list[tuple[float, float, str]] = []
    for kind, style in STYLES.items():
        points = sorted((r['params'] / 1e6, accuracy_of(r, k), r['name']) for r in results if r['kind'] == kind)
        if not points:
            continue
        sizes, values, _ = zip(*points)
        axes.scatter(sizes, values, s=28 if len(points) < 40 else 14, linewidths=0, zorder=3, **style)
        if kind == 'pretrained':
            front = np.maximum.accumulate(values)
            front_style = dict(color=style['color'], lw=1.5, drawstyle='steps-post', alpha=0.5)
            axes.plot(sizes, front, label='best up to each size', **front_style)
            points.sort(key=lambda point: point[1] < front[sizes.index(point[0])])  # the front is labelled first
        if kind != 'untrained':
            labelled += points
            if queries:
                _draw_errors(axes, sizes, values, queries, style['color'])
    if single:
        sizes = [result['params'] / 1e6 for result in single]
        values = [accuracy_of(result, k) for result in single]
        axes.scatter(sizes, values, s=42, linewidths=0, zorder=4, **SINGLE_STYLE)
        if queries:
            _draw_errors(axes, sizes, values, queries, SINGLE_STYLE['color'])
    pixels = next((accuracy_of(result, k) for result in results if result['kind'] == 'thumbnails'), None)
    if pixels is not None:
        axes.axhline(pixels, **PIXEL_STYLE)
    if classes:
        axes.axhline(100 / classes, **CHANCE_STYLE)
    figure.legend(frameon=False, fontsize=8, loc='outside upper left', ncols=7, columnspacing=1.0, handletextpad=0.4)
    axes.set_xscale('log')
    _plain_log_ticks(axes)
    axes.set_xlabel('parameters, millions')
    bars = '; bars: ± one standard error' if queries else ''
    axes.set_ylabel(f'k-NN accuracy, % ({"best k" if k is None else f"k = {k}"}{bars})')
    figure.suptitle(title, fontsize=10)
    axes.grid(True, which='major', color='#e6e6e6', lw=0.8)
    axes.spines[['top', 'right']].set_visible(False)
    label_points(axes, labelled)
    return save_figure(figure, path)


def plot_heat_map(
    results: Results,
    path: str | Path,
    k: int | None = None,
    kind: str = 'pretrained',
    title: str = '',
    queries: int | None = None,
) -> Path:
    """Accuracy over width and depth; combinations that were not measured stay empty.

    The colours span at least eight standard errors of the queries, so that noise does not look like a result.

    Args:
        results: Entries of a k-NN result file.
        path: Picture to write, in the format of its suffix.
        k: Number of neighbours; ``None`` for each network's best.
        kind: Which entries.
        title: Above the picture.
        queries: Number of queries; ``None`` where it is not known (the colours then span at least 5 %).

    Raises:
        UserError: If the results hold no entry of this kind, or no accuracy for this k.
    """
    cells = {(r['width'], _as_key(r['depth'])): accuracy_of(r, k) for r in results if r['kind'] == kind}
    if not cells:
        raise UserError(f'the results do not contain a {kind} sub-network: nothing to draw')
    widths = sorted({width for width, _ in cells})
    depths = sorted({depth for _, depth in cells}, key=lambda depth: (np.sum(depth), depth))
    grid = np.array([[cells.get((width, depth), np.nan) for width in widths] for depth in depths])
    size = max(4.0, 1.6 + 0.5 * len(widths)), max(2.8, 1.2 + 0.32 * min(len(depths), 30))
    figure = Figure(figsize=size, dpi=150, layout='constrained')
    axes = figure.subplots()
    low, high = np.nanmin(grid), np.nanmax(grid)
    error = standard_error((low + high) / 2, queries) if queries else MIN_SPAN / SPAN_ERRORS
    margin = max(0.0, SPAN_ERRORS * error - (high - low)) / 2
    image = axes.imshow(grid, origin='lower', aspect='auto', cmap='viridis', vmin=low - margin, vmax=high + margin)
    if len(depths) <= 40:
        dark = image.norm(grid) < 0.6
        for row, column in np.argwhere(np.isfinite(grid)):
            colour = 'white' if dark[row, column] else 'black'
            text = f'{grid[row, column]:.1f}'
            axes.text(column, row, text, ha='center', va='center', fontsize=7, color=colour)
    every = max(1, len(depths) // 30)
    labels = [str(d) if isinstance(d, int) else '-'.join(map(str, d)) for d in depths]
    axes.set_xticks(range(len(widths)), widths)
    axes.set_yticks(range(0, len(depths), every), labels[::every], fontsize=8)
    axes.set_xlabel('width')
    axes.set_ylabel('depth, blocks')
    axes.set_title(title, fontsize=10, loc='left')
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes)
    bar.outline.set_visible(False)
    noise = f'\nstandard error {error:.1f}' if queries else ''
    bar.set_label(f'k-NN accuracy, % ({"best k" if k is None else f"k = {k}"}){noise}', fontsize=8)
    return save_figure(figure, path)


def standard_error(accuracy: float | np.ndarray, queries: int) -> float | np.ndarray:
    """Standard error of an accuracy in per cent, measured on so many independent images (binomial)."""
    return np.sqrt(accuracy * (100 - accuracy) / queries)


def _draw_errors(axes: Axes, sizes: Sequence[float], values: Sequence[float], queries: int, colour: str) -> None:
    errors = standard_error(np.array(values), queries)
    axes.errorbar(sizes, values, errors, fmt='none', ecolor=colour, elinewidth=0.8, alpha=0.35, zorder=2)


def accuracy_of(result: Mapping[str, Any], k: int | None) -> float:
    """Accuracy of one entry in per cent, at its best k or at a given one.

    Raises:
        UserError: If it was not measured at this k.
    """
    if k is None:
        return result['best']
    if str(k) not in result['accuracy']:
        raise UserError(f'no accuracy for k = {k}: measured are {", ".join(result["accuracy"])}')
    return result['accuracy'][str(k)]


def _plain_log_ticks(axes: Any) -> None:
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _as_key(depth: int | Sequence[int]) -> int | tuple[int, ...]:
    return depth if isinstance(depth, int) else tuple(depth)
