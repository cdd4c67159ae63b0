"""Pictures of a study: accuracy over size, and the gain of every comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from poa_mm.reporting.knn_pictures import CHANCE_STYLE, PIXEL_STYLE
from poa_mm.reporting.pictures import save_figure

from .definition import PROTOCOLS, Study
from .results import Result
from .summary import MEAN, Summary

COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
MARKERS = 'oDs^vP'


def plot_sizes(
    study: Study, results: Mapping[str, Mapping[int, Result]], path: str | Path, protocol: str = 'knn'
) -> Path:
    """Accuracy over parameters of the rows that the study draws, with one standard error over seeds.

    Args:
        study: The study.
        results: From :func:`read_results`.
        path: Picture to write.
        protocol: Whose accuracy.
    """
    summary = Summary(study, results, protocol)
    figure = Figure(figsize=(7.5, 4.5), dpi=150, layout='constrained')
    axes = figure.subplots()
    drawn = [row for row in study.picture if row in summary.values]
    for row, colour, marker in zip(drawn, COLOURS, MARKERS):
        found = {size: e for size, e in summary.estimates(row).items() if size != MEAN}
        sizes = sorted(found, key=lambda size: summary.params[size])
        x = [summary.params[size] / 1e6 for size in sizes]
        axes.errorbar(
            x,
            [found[size].mean for size in sizes],
            [found[size].error or 0 for size in sizes],
            label=study.labels[row],
            color=colour,
            marker=marker,
            ms=6,
            lw=1,
            capsize=3,
        )
    for size in summary.sizes:
        axes.annotate(
            size, (summary.params[size] / 1e6, 0), (0, 3), xycoords=axes.get_xaxis_transform(),
            textcoords='offset points', fontsize=7, rotation=90, ha='center', va='bottom', color='#666666',
        )  # fmt: skip
    found = [result for by_seed in results.values() for result in by_seed.values()]
    pixels = next((r['thumbnails'] for r in found if 'thumbnails' in r), None)
    if pixels is not None and protocol == 'knn':
        axes.axhline(pixels, **PIXEL_STYLE)
    axes.axhline(100 / found[0]['classes'], **CHANCE_STYLE)
    axes.set_xscale('log')
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel('parameters, millions')
    axes.set_ylabel(f'{PROTOCOLS[protocol]} accuracy, % (bars: ± one standard error over seeds)', fontsize=8)
    axes.set_title(study.title, fontsize=10, loc='left')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(True, which='major', axis='y', color='#e6e6e6', lw=0.8)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)


def plot_gains(study: Study, results: Mapping[str, Mapping[int, Result]], path: str | Path) -> Path:
    """The gain of every comparison, its mean over sizes with two standard errors, one panel for each protocol."""
    found = {protocol: Summary(study, results, protocol).compared() for protocol in study.judge}
    rows = max(map(len, found.values()))
    figure = Figure(figsize=(4.5 * len(found) + 1.5, 1.2 + 0.4 * rows), dpi=150, layout='constrained')
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axes, (protocol, gains) in zip(panels, found.items()):
        _draw_gains(axes, gains)
        axes.set_xlabel(f'gain, points of {PROTOCOLS[protocol]} (bars: ± two standard errors)', fontsize=8)
    figure.suptitle(study.title, fontsize=10)
    return save_figure(figure, path)


def _draw_gains(axes: Axes, compared: list) -> None:
    for place, (_, gains) in enumerate(compared):
        sizes = [gain.mean for size, gain in gains.items() if size != MEAN]
        axes.scatter(sizes, [place] * len(sizes), s=9, color='#9BB8D3', linewidths=0)
        mean = gains.get(MEAN) or next(iter(gains.values()))
        axes.errorbar(mean.mean, place, xerr=2 * (mean.error or 0), color=COLOURS[0], marker='o', capsize=3, lw=1.5)
    axes.axvline(0, color='#666666', lw=1, ls=(0, (1, 2)))
    axes.set_yticks(range(len(compared)), [label for label, _ in compared], fontsize=8)
    axes.invert_yaxis()
    axes.spines[['top', 'right']].set_visible(False)
