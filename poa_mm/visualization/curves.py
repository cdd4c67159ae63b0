"""Curves of a training run from what MMEngine logged in its work dir."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from poa_mm.errors import UserError
from poa_mm.reporting.pictures import COLOURS

# Title of a panel, and the names of the values in it. What fits nowhere has a panel of its own.
PANELS = {
    'Total loss': r'loss',
    'Cross-view loss, other global crop': r'.*_global',
    'Cross-view loss, local crops': r'.*_local',
    'Masked-patch loss': r'.*_patch',
    'Same-view loss': r'same_view',
    'KoLeo': r'.*_koleo',
    'Parts of the loss': r'(.*\.)?loss_.*',
    'k-NN accuracy, %': r'knn_.*',
    'Entropy of the targets, share of the largest': r'.*entropy.*',
    'Prototypes used, equal neighbours': r'prototypes_used|equal_neighbours',
    'Rank of the features': r'.*rank.*',
    'Gradient norm': r'grad_norm.*',
    'Learning rate': r'lr',
    'Weight decay': r'weight_decay',
    'Momentum of the teacher': r'momentum',
    'Seconds per iteration': r'(data_)?time',
}
UNSHOWN = {'base_lr', 'step', 'iter', 'epoch', 'memory'}

Curve = tuple[list[int], list[float]]


def read_curves(work_dir: str | Path, left_out: Collection[str] = UNSHOWN) -> dict[str, Curve]:
    """Steps and values of everything that was logged.

    Where a run was resumed, what the earlier one logged after the checkpoint gives way to the later one.

    Args:
        work_dir: Of a run; holds ``TIMESTAMP/vis_data/scalars.json``.
        left_out: Names that are not wanted.

    Raises:
        UserError: If nothing was logged there.
    """
    curves: dict[str, dict[int, float]] = {}
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        entries = list(_entries(file))
        if not entries:
            continue
        start = min(entry['step'] for entry in entries)
        curves = {name: {s: v for s, v in points.items() if s < start} for name, points in curves.items()}
        for entry in entries:
            for name, value in entry.items():
                if name not in left_out and isinstance(value, int | float):
                    curves.setdefault(name, {})[entry['step']] = value
    found = {name: (sorted(p), [p[s] for s in sorted(p)]) for name, p in curves.items() if p}
    if not found:
        raise UserError(f'{work_dir} holds no curves: there is no */vis_data/scalars.json with values')
    return found


def _entries(file: Path) -> list[dict]:
    entries = []
    for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:  # the run was killed while it wrote this line
            continue
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get('step'), int)]


def group_curves(curves: Mapping[str, Curve]) -> dict[str, list[str]]:
    """Titles of the panels and their curves, in the order of :data:`PANELS`; then all others that change."""
    titles = {
        name: next((title for title, pattern in PANELS.items() if re.fullmatch(pattern, name)), name) for name in curves
    }
    order = [*PANELS, *(title for title in titles.values() if title not in PANELS)]
    groups = {title: [name for name in curves if titles[name] == title] for title in order}
    return {title: names for title, names in groups.items() if names and (title in PANELS or _changes(curves[title]))}


def _changes(curve: Curve) -> bool:
    return len(set(curve[1])) > 1


def draw_curves(curves: Mapping[str, Curve], title: str = '', columns: int = 3) -> Figure:
    """One panel for each group of curves over the steps.

    Raises:
        UserError: If there is no group: every value is constant, and none has a panel of its own.
    """
    groups = group_curves(curves)
    if not groups:
        raise UserError(f'there is nothing to draw: {", ".join(curves)} did not change')
    rows = math.ceil(len(groups) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.7 * rows + 0.3), dpi=110, layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).flat
    for (heading, names), axes in zip(groups.items(), panels):
        _draw_panel(axes, heading, {name: curves[name] for name in names})
    for axes in panels:  # that no group needed
        axes.set_visible(False)
    for axes in figure.axes[max(0, len(groups) - columns) : len(groups)]:
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel('step')
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_panel(axes: Axes, heading: str, curves: Mapping[str, Curve]) -> None:
    many = len(curves) > len(COLOURS)
    colours = colormaps['viridis'](np.linspace(0, 0.9, len(curves))) if many else COLOURS
    prefix = _common_prefix(list(curves))
    for (name, (steps, values)), colour in zip(curves.items(), colours):
        style = dict(
            color=colour,
            lw=1.3,
            ls='--' if name.startswith('elastic') else '-',  # often lies on that of the intact student
            marker='o' if len(steps) <= 12 else None,  # a single value has no line
            ms=3,
        )
        axes.plot(steps, values, label=name.removeprefix(prefix), **style)
    axes.set_title(heading, fontsize=9, loc='left')
    axes.grid(True, color='#e6e6e6', lw=0.8)
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(labelsize=8)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=7, ncols=1 + len(curves) // 7)


def _common_prefix(names: list[str]) -> str:
    """What all names of a panel start with, up to an underscore: ``'knn_'`` of ``knn_S`` and ``knn_B``."""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), 0)
    return first[: first.rfind('_', 0, same) + 1]
