"""Pictures of a study: accuracy over size, and the gain of every comparison."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from poa_mm.reporting.knn_pictures import PIXEL_STYLE
from poa_mm.reporting.pictures import COLOURS, save_figure

from .definition import PROTOCOLS, Study
from .results import Result
from .summary import MEAN, Estimate, Summary

MARKERS = 'oDs^vP'  # 6 beside 7 colours: no two of 42 rows look alike


def plot_sizes(
    study: Study, results: Mapping[str, Mapping[int, Result]], path: str | Path, protocol: str = 'knn'
) -> Path:
    """Accuracy over size of the rows that the study draws, with one standard error over seeds.

    Args:
        study: The study.
        results: From :func:`read_results`.
        path: Picture to write.
        protocol: Whose accuracy.
    """
    summary = Summary(study, results, protocol)
    figure = Figure(figsize=(7.5, 5), dpi=150, layout='constrained')
    axes = figure.subplots()
    drawn = [row for row in study.picture if row in summary.values]
    sizes = [size for size in summary.sizes if any(size in summary.values[row] for row in drawn)]
    for number, row in enumerate(drawn):
        estimates = summary.estimates(row)
        found = {size: estimates[size] for size in sizes if size in estimates}
        places = [sizes.index(size) + 0.06 * (number - (len(drawn) - 1) / 2) for size in found]  # bars side by side
        means, errors = [e.mean for e in found.values()], [e.error or 0 for e in found.values()]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        style = dict(color=colour, marker=marker, ms=5, lw=1, capsize=3)
        axes.errorbar(places, means, errors, label=study.labels[row], **style)
    found = [result for by_seed in results.values() for result in by_seed.values()]
    pixels = next((r['thumbnails'] for r in found if 'thumbnails' in r), None)
    if pixels is not None and protocol == 'knn':
        axes.axhline(pixels, **PIXEL_STYLE)
    axes.set_xticks(range(len(sizes)), [f'{size}\n{summary.params[size] / 1e6:.2g} M' for size in sizes], fontsize=8)
    axes.set_xlabel('network and its parameters')
    chance = 100 / found[0]['classes']  # in words: a line at chance would press the others together
    axes.set_ylabel(f'{PROTOCOLS[protocol]} accuracy, % (chance {chance:.3g}; bars: ± one standard error)', fontsize=8)
    axes.set_title(study.title, fontsize=10, loc='left')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(True, which='major', axis='y', color='#e6e6e6', lw=0.8)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)


def plot_gains(study: Study, results: Mapping[str, Mapping[int, Result]], path: str | Path) -> Path:
    """The gain of every comparison, its mean over sizes with two standard errors, one panel for each protocol.

    The mean is left out where no seed has all sizes.
    """
    found = {protocol: dict(Summary(study, results, protocol).compared()) for protocol in study.judge}
    labels = list(dict.fromkeys(label for gains in found.values() for label in gains))
    lines = [textwrap.wrap(label, 50) for label in labels]  # a long label leaves no room for the panels
    height = 0.25 + 0.15 * max(map(len, lines), default=1)
    figure = Figure(figsize=(4.5 * len(found) + 1.5, 1.2 + height * len(labels)), dpi=150, layout='constrained')
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axes, (protocol, gains) in zip(panels, found.items()):
        _draw_gains(axes, [gains.get(label, {}) for label in labels])
        axes.set_xlabel(f'gain, points of {PROTOCOLS[protocol]}\nbars: ± two standard errors', fontsize=8)
    panels[0].set_yticks(range(len(labels)), ['\n'.join(each) for each in lines], fontsize=8)  # of all panels
    panels[0].set_ylim(len(labels) - 0.5, -0.5)  # the first on top
    figure.suptitle(study.title, fontsize=10)
    return save_figure(figure, path)


def _draw_gains(axes: Axes, rows: Sequence[Mapping[str, Estimate]]) -> None:
    for place, gains in enumerate(rows):
        sizes = [gain.mean for size, gain in gains.items() if size != MEAN]
        axes.scatter(sizes, [place] * len(sizes), s=9, color='#9BB8D3', linewidths=0)
        mean = next(iter(gains.values())) if len(gains) == 1 else gains.get(MEAN)  # a single size is its own mean
        if mean is not None:
            axes.errorbar(mean.mean, place, xerr=2 * (mean.error or 0), color=COLOURS[0], marker='o', capsize=3, lw=1.5)
    axes.axvline(0, color='#666666', lw=1, ls=(0, (1, 2)))
    axes.spines[['top', 'right']].set_visible(False)
