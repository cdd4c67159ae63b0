"""A run's logged values over the bands of its reference."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from .trajectory import Curves, Reference, State


def draw_comparison(
    curves: Curves, reference: Reference, states: dict[str, State], title: str, columns: int = 4
) -> Figure:
    """One panel for each value that both have: the band, the run, and where it left the band for good.

    Args:
        curves: Of the run.
        reference: Its bands.
        states: What :func:`compare` found.
        title: Of the picture.
        columns: Panels in a row.
    """
    rows = math.ceil(len(states) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.3 * rows + 0.5), dpi=110, layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for (name, state), axes in zip(states.items(), panels):
        band = reference['bands'][name]
        axes.fill_between(band['steps'], band['low'], band['high'], color='#9BB8D3', alpha=0.6, lw=0, label='reference')
        colour = '#0072B2' if state.left is None else '#D55E00'
        axes.plot(*curves[name], color=colour, lw=1.2, marker='o', ms=2, label='run')
        if state.left is not None:
            axes.axvline(state.left, color=colour, lw=1, ls=':')
        if name in reference['uniform']:
            axes.axhline(reference['uniform'][name], color='#767676', lw=0.8, ls=(0, (5, 3)))
        axes.set_title(name, fontsize=9, loc='left', color='black' if state.left is None else colour)
        axes.tick_params(labelsize=7)
        axes.spines[['top', 'right']].set_visible(False)
    for axes in panels:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=10)
    return figure
