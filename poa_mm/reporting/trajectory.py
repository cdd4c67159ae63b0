"""Compares the logged values of a training run with the bands of a reference.

A reference is a JSON file: ``source`` (text), ``uniform`` (values of losses and of the entropy of the targets if all
outputs are uniform) and ``bands``,
for each logged name ``steps``, ``low`` and ``high``. Bands come from several runs of a recipe that differ in their
seed, or from the schedules of its config.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from poa_mm.errors import UserError, not_found

Curves = Mapping[str, tuple[Sequence[int], Sequence[float]]]  # steps and values by name
Reference = Mapping[str, Any]

FLOOR = 0.01  # of a value: the least half-width of a band from runs
EXACT = 1e-3  # the same for what a config computes; a logged value has the precision of fp32
PATIENCE = 3  # logged values in a row outside a band that count; one or two may be chance, but not NaN or infinity
TIMING = (
    'time',
    'data_time',
    'lr',
    'memory',
    'skipped_steps',
)  # of the machine; lr is that of the first group of parameters


@dataclass(frozen=True)
class State:
    """How one logged value compares with its band.

    Args:
        last: Last step that could be compared.
        value: The run's value there.
        low: Lower end of the band there.
        high: Upper end.
        left: First of the values in a row outside the band that the run ends with; ``None``: it is inside.
        first: First time that it was outside for long enough; ``None``: never.
        past: Latest earlier step of the reference whose band holds the last value, where the run is outside now.
    """

    last: int
    value: float
    low: float
    high: float
    left: int | None
    first: int | None
    past: int | None


def reference_of_runs(runs: Sequence[Curves], source: str) -> dict[str, Any]:
    """Bands that hold several runs, for every value that two of them have logged, at the steps that these share.

    The band is the runs' range, widened on each side by the largest range nearby. Of three runs with normal noise
    that is about 2.5 standard deviations on each side of their mean.

    Args:
        runs: Curves of at least two runs of one recipe.
        source: What the runs were.

    Raises:
        UserError: If there are fewer runs, or nothing that two have logged.
    """
    if len(runs) < 2:
        raise UserError(f'a band needs at least 2 runs, got {len(runs)}')
    bands = {}
    for name in dict.fromkeys(name for run in runs for name in run if name not in TIMING):
        points = [dict(zip(*run[name])) for run in runs if name in run]
        steps = sorted(set.intersection(*(set(of_run) for of_run in points)))
        if len(points) < 2 or not steps:
            continue
        values = np.array([[of_run[step] for step in steps] for of_run in points])
        low, high = values.min(0), values.max(0)
        spread = [np.max((high - low)[max(0, i - 2) : i + 3]) for i in range(len(steps))]
        width = np.maximum(spread, FLOOR * np.abs(values).mean(0))
        bands[name] = _band(steps, low - width, high + width)
    if not bands:
        raise UserError('the runs have logged nothing at the same steps')
    return dict(source=source, uniform={}, bands=bands)


def reference_of_schedules(schedules: Curves, uniform: Mapping[str, float], source: str) -> dict[str, Any]:
    """Bands around values that are known before a run, as wide as a log in fp32 needs.

    Args:
        schedules: Values by name, see :func:`poa_mm.engine.forecast.schedules_of`.
        uniform: Losses of uniform outputs.
        source: What they were computed from.
    """
    bands = {
        name: _band(steps, np.asarray(values) * (1 - EXACT), np.asarray(values) * (1 + EXACT))
        for name, (steps, values) in schedules.items()
    }
    return dict(source=source, uniform=dict(uniform), bands=bands)


def _band(steps: Sequence[int], low: np.ndarray, high: np.ndarray) -> dict[str, list]:
    return dict(
        steps=list(map(int, steps)), low=[float(f'{v:.6g}') for v in low], high=[float(f'{v:.6g}') for v in high]
    )


def known_recipes() -> list[str]:
    """Names of the recipes of which bands of runs are shipped."""
    return sorted(
        file.name[:-5] for file in files('poa_mm.reference.trajectories').iterdir() if file.name.endswith('.json')
    )


def read_reference(path: str | Path) -> Reference:
    """Read a reference: a file, or that of a recipe by its name.

    Raises:
        UserError: If the file or recipe does not exist, or is something else.
    """
    name = str(path)
    if name in known_recipes():
        file = files('poa_mm.reference.trajectories').joinpath(f'{name}.json')
    elif Path(path).is_file():
        file = Path(path)
    else:
        raise UserError(
            f'reference {not_found(name)}: give a file of --make, a config, or the name of a recipe such as '
            f'{known_recipes()[0]}'
        )
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError:  # neither JSON nor text
        content = None
    match content:
        case {'source': str(), 'uniform': dict(uniform), 'bands': dict(bands)}:
            if all(map(_is_number, uniform.values())) and all(map(_is_band, bands.values())):
                return content
    raise UserError(f'{name} is not a reference of poa compare')


def _is_band(band: Any) -> bool:
    """Whether something has lists of numbers of one length, at least one."""
    match band:
        case {'steps': list(steps), 'low': list(low), 'high': list(high)}:
            return len(steps) == len(low) == len(high) > 0 and all(map(_is_number, [*steps, *low, *high]))
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def compare(curves: Curves, reference: Reference) -> dict[str, State]:
    """State of everything that both the run and the reference have, in the order of the reference.

    Raises:
        UserError: If they have nothing in common.
    """
    found = {name: _state(curves[name], band) for name, band in reference['bands'].items() if name in curves}
    found = {name: state for name, state in found.items() if state is not None}
    if not found:
        raise UserError(f'the run has logged none of {", ".join(reference["bands"])} at steps of the reference')
    return found


def _state(curve: tuple[Sequence[int], Sequence[float]], band: Mapping[str, list]) -> State | None:
    begin, end = band['steps'][0], band['steps'][-1]
    points = [(step, value) for step, value in zip(*curve) if begin <= step <= end]
    if not points:
        return None
    ends = [tuple(np.interp(step, band['steps'], band[side]) for side in ('low', 'high')) for step, _ in points]
    outside = [not low <= value <= high for (_, value), (low, high) in zip(points, ends)]  # NaN is outside
    first = None
    for i in range(len(points)):
        run = outside[i : i + PATIENCE]
        if all(run) and (len(run) == PATIENCE or not math.isfinite(points[i][1])):
            first = points[i][0]
            break
    start = len(points)
    while start and outside[start - 1]:
        start -= 1
    last, value = points[-1]
    left = points[start][0] if len(points) - start >= PATIENCE or not math.isfinite(value) else None
    earlier = [s for s, low, high in zip(band['steps'], band['low'], band['high']) if s < last and low <= value <= high]
    return State(last, value, *map(float, ends[-1]), left, first, max(earlier, default=None) if left else None)


def verdict(states: Mapping[str, State]) -> str:
    """``on track at step N``, ``behind at step N``, or ``off, first at step N in NAME``.

    A run is behind if each value that is outside its band now was inside at an earlier step of the reference.
    """
    last = max(state.last for state in states.values())
    out = {name: state for name, state in states.items() if state.left is not None}
    if not out:
        back = [name for name, state in states.items() if state.first is not None]
        return f'on track at step {last}' + (f' (earlier outside: {", ".join(back)})' if back else '')
    if all(state.past is not None for state in out.values()):
        past = min(state.past for state in out.values())
        return f'behind at step {last}: {", ".join(out)} as at step {past} of the reference'
    lost = {name: state for name, state in out.items() if state.past is None}
    name = min(lost, key=lambda name: lost[name].first)
    return f'off, first at step {lost[name].first} in {name}'


def at_uniform(curves: Curves, reference: Reference) -> list[str]:
    """Losses, and the entropy of the targets, whose last value is within half a per cent of that of uniform outputs."""
    values = reference['uniform']
    return [n for n, value in values.items() if n in curves and abs(curves[n][1][-1] / value - 1) < 0.005]
