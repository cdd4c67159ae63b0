"""Means over seeds, paired differences, and their table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from poa_mm.reporting.tables import markdown_table

from .definition import PROTOCOLS, Study
from .results import Result

BySeed = Mapping[int, float]
MEAN = 'mean'  # the column of the mean over sizes


class Estimate(NamedTuple):
    """A mean over seeds.

    Args:
        mean: The mean.
        error: Its standard error, ``s / sqrt(n)``; ``None`` for one seed.
        seeds: Number ``n`` of seeds.
    """

    mean: float
    error: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The mean of values, one for each seed."""
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
        return cls(statistics.mean(values), error, len(values))

    def text(self, sign: bool = False) -> str:
        """``58.6 ± 0.4``; without an error where there is one seed."""
        mean = f'{self.mean:+.1f}' if sign else f'{self.mean:.1f}'
        return mean if self.error is None else f'{mean} ± {self.error:.1f}'

    @property
    def ahead(self) -> bool:
        """Whether the mean is above 0 by two standard errors or more."""
        return self.error is not None and self.mean > 0 and self.mean >= 2 * self.error


class Summary:
    """The accuracies of one protocol by row, size and seed.

    Args:
        study: The study.
        results: From :func:`read_results`.
        protocol: ``'knn'`` or ``'linear'``.

    Attributes:
        sizes: Of all rows, by number of parameters.
        values: Accuracy in per cent by row, size and seed.
    """

    def __init__(self, study: Study, results: Mapping[str, Mapping[int, Result]], protocol: str) -> None:
        self.study, self.protocol = study, protocol
        self.values: dict[str, dict[str, dict[int, float]]] = {}
        self.params: dict[str, int] = {}
        for run in study.runs:
            for seed, result in results.get(run.name, {}).items():
                self.params.update(result['params'])
                for size, accuracy in result['accuracy'].get(protocol, {}).items():
                    self.values.setdefault(run.row, {}).setdefault(size, {})[seed] = accuracy
        self.sizes = sorted(
            {size for row in self.values.values() for size in row}, key=lambda size: (self.params[size], size)
        )

    def estimates(self, row: str) -> dict[str, Estimate]:
        """Accuracy of each size, and under ``mean`` that of all its sizes together."""
        return _estimates(self.values[row])

    def gains(self, first: str, second: str) -> dict[str, Estimate]:
        """Paired differences of two rows: seed by seed, at the sizes that both have; and their ``mean``."""
        one, other = self.values.get(first, {}), self.values.get(second, {})
        paired = {
            size: {seed: one[size][seed] - other[size][seed] for seed in one[size].keys() & other[size].keys()}
            for size in self.sizes
            if size in one and size in other
        }
        return _estimates({size: differences for size, differences in paired.items() if differences})

    def compared(self) -> list[tuple[str, dict[str, Estimate]]]:
        """The label and the gains of every comparison that has results."""
        named = [
            (f'{self.study.labels[first]} − {self.study.labels[second]}', self.gains(first, second))
            for first, second in self.study.compare
        ]
        return [(label, gains) for label, gains in named if gains]

    def table(self) -> str:
        """A row of means for each row of the study, then one of gains for each comparison.

        The column ``mean`` is left empty in rows that lack a size; that of a gain is over the sizes that both have.
        """
        columns = [*self.sizes, MEAN]
        rows = []
        for row in self.study.labels:
            if row in self.values:
                found = self.estimates(row)
                if not found.keys() >= set(self.sizes):  # the mean of other sizes is another figure
                    found.pop(MEAN, None)
                cells = [found[column].text() if column in found else '' for column in columns]
                rows.append([self.study.labels[row], *cells, _seeds(found), ''])
        for label, gains in self.compared():
            cells = [gains[column].text(sign=True) if column in gains else '' for column in columns]
            sizes = [gain for size, gain in gains.items() if size != MEAN]
            rows.append([label, *cells, _seeds(gains), f'{sum(gain.ahead for gain in sizes)} of {len(sizes)}'])
        return markdown_table([f'{PROTOCOLS[self.protocol]}, %', *columns, 'seeds', 'ahead by 2 errors'], rows)


def _estimates(values: Mapping[str, BySeed]) -> dict[str, Estimate]:
    if not values:
        return {}
    found = {size: Estimate.of(list(by_seed.values())) for size, by_seed in values.items()}
    complete = set.intersection(*(set(by_seed) for by_seed in values.values()))
    if complete and len(values) > 1:
        found[MEAN] = Estimate.of(
            [statistics.mean(by_seed[seed] for by_seed in values.values()) for seed in sorted(complete)]
        )
    return found


def _seeds(found: Mapping[str, Estimate]) -> str:
    numbers = sorted({estimate.seeds for size, estimate in found.items() if size != MEAN})
    return ' to '.join(str(number) for number in dict.fromkeys([numbers[0], numbers[-1]]))
