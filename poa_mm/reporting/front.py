"""Quality of sub-networks over what they cost, with the front and the chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from .pictures import save_figure

Point = tuple[float, float, str]  # cost, quality, name


def plot_front(
    points: Sequence[Point],
    front: Sequence[Point],
    chosen: Point,
    labels: tuple[str, str],
    path: str | Path,
    limit: float | None = None,
    title: str = '',
) -> Path:
    """A dot for every network, a line along the front, a ring around the choice.

    Args:
        points: All networks.
        front: Those that no other beats, cheapest first.
        chosen: One of the points.
        labels: Of the axes: cost, quality.
        path: Picture to write; its ending says the format.
        limit: Largest allowed cost, drawn as a line.
        title: Above the picture.
    """
    figure = Figure(figsize=(7, 4.5), dpi=150, layout='constrained')
    axes = figure.subplots()
    costs, values, _ = zip(*points)
    axes.scatter(costs, values, s=28 if len(points) < 40 else 12, color='#9BB8D3', linewidths=0, label='sub-networks')
    costs, values, _ = zip(*front)
    axes.plot(costs, values, color='#0072B2', lw=1.5, marker='o', ms=4, label='best at their cost')
    axes.plot(*chosen[:2], 'o', ms=12, mfc='none', mec='#D55E00', mew=2, label=f'chosen: {chosen[2]}')
    if limit is not None:
        axes.axvline(limit, color='#767676', lw=1, ls=(0, (5, 3)), label=f'limit: {limit:g}')
    axes.set(xscale='log', xlabel=labels[0], ylabel=labels[1], title=title)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc='lower right')
    return save_figure(figure, path)
