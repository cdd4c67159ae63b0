"""What a study is: a YAML file with runs, how they are judged, and which are compared."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from poa_mm.errors import UserError

PLACEHOLDER = re.compile(r'\{([\w./-]+)\}')
OWN_PLACEHOLDERS = ('file', 'folder', 'train', 'val', 'images', 'seed', 'options')
PROTOCOLS = {'knn': 'k-NN', 'linear': 'linear probe'}


@dataclass(frozen=True)
class Run:
    """One training, or another command that makes a network, for every seed.

    Args:
        name: Unique; of a row with several sizes ``ROW/SIZE``.
        row: The row of the table that its results belong to.
        recipe: Config of the training; with ``command``, the one to judge its file with.
        options: ``--cfg-options`` of the training, or of a command that has the word ``{options}``.
        command: Instead of a training: the words of a command, the first of them ``poa`` or a program.
        output: The file that the command writes, in the run's folder; empty for the last checkpoint of a training.
        subnets: Which sub-networks are judged.
        untrained: Whether untrained weights are judged, and raw pixels with them; nothing is run then.
        judged: Whether its network is judged; otherwise it only serves other runs.
    """

    name: str
    row: str
    recipe: str
    options: Mapping[str, Any]
    command: Sequence[str]
    output: str
    subnets: Sequence[str]
    untrained: bool
    judged: bool

    @property
    def stem(self) -> str:
        """The name as part of a file's name."""
        return self.name.replace('/', '-')

    def placeholders(self) -> set[str]:
        """Names in braces in the command and the options."""
        return set(PLACEHOLDER.findall(' '.join([*self.command, *map(str, self.options.values())])))


@dataclass(frozen=True)
class Study:
    """The content of a study's file.

    Args:
        title: One line.
        seeds: Of the runs.
        runs: In the order in which they are run.
        labels: Title of every row of the table.
        judge: Arguments of each protocol: ``{'knn': {...}, 'linear': {...}}``.
        compare: Pairs of rows; the gain is that of the first over the second.
        picture: Rows that are drawn over size.
        values: Of placeholders, unless the command line gives others.
    """

    title: str
    seeds: Sequence[int]
    runs: Sequence[Run]
    labels: Mapping[str, str]
    judge: Mapping[str, Mapping[str, Any]]
    compare: Sequence[tuple[str, str]] = ()
    picture: Sequence[str] = ()
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """Read a study's file.

        Raises:
            UserError: If it does not exist, is not YAML, has an unknown key, or names a run that is not there.
        """
        allowed = ('title', 'seeds', 'judge', 'options', 'runs', 'compare', 'picture', 'values')
        content = _mapping(_load(path), str(path), allowed, ('title', 'judge', 'runs'))
        judge = _mapping(content['judge'], f'judge of {path}', ('subnets', *PROTOCOLS))
        subnets = judge.pop('subnets', ['named'])
        runs, labels = [], {}
        for row, entry in _mapping(content['runs'], f'runs of {path}').items():
            found, label = _runs(row, entry, content.get('options') or {}, subnets)
            runs += found
            labels[row] = label
        study = cls(
            title=content['title'],
            seeds=content.get('seeds', [0, 1, 2]),
            runs=runs,
            labels=labels,
            judge={name: settings or {} for name, settings in judge.items()},
            compare=[tuple(pair) for pair in content.get('compare', [])],
            picture=content.get('picture', []),
            values={name: str(value) for name, value in (content.get('values') or {}).items()},
        )
        study.check(path)
        return study

    def check(self, path: str | Path) -> None:
        """Check that names of rows and placeholders exist; a run may use only runs above it.

        Raises:
            UserError: If one does not, or a number of seeds or rows makes no sense.
        """
        if not self.judge:
            raise UserError(f'judge of {path} names no protocol: allowed are {", ".join(PROTOCOLS)}')
        if not isinstance(self.seeds, list) or not self.seeds or not all(isinstance(seed, int) for seed in self.seeds):
            raise UserError(f'seeds of {path} must be a list of whole numbers, got {self.seeds}')
        if not all(len(pair) == 2 for pair in self.compare):
            raise UserError(f'compare of {path} must list pairs of rows')
        for row in [*self.picture, *(row for pair in self.compare for row in pair)]:
            _check_name(row, self.labels, f'{path} compares or draws')
        known = {*OWN_PLACEHOLDERS, *self.values}
        for run in self.runs:
            for name in run.placeholders():
                _check_name(name, known, f'run {run.name} of {path} uses')
            known.add(run.name)

    def chosen(self, only: Iterable[str]) -> list[Run]:
        """The runs of some rows or names, with those that they depend on; all without a choice.

        Raises:
            UserError: If a row or run does not exist.
        """
        by_name = {run.name: run for run in self.runs}
        wanted: set[str] = set()

        def add(run: Run) -> None:
            wanted.add(run.name)
            for name in run.placeholders() & by_name.keys():
                add(by_name[name])

        for name in only:
            _check_name(name, {*by_name, *self.labels}, '--only names')
            for run in self.runs:
                if name in (run.name, run.row):
                    add(run)
        return [run for run in self.runs if run.name in wanted] if wanted else list(self.runs)


def _load(path: str | Path) -> Any:
    """The content of a YAML file over that of its ``base``, a file beside it; the ``options`` of both are merged."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'study {str(path)!r} cannot be read: {error.strerror}') from error
    except yaml.YAMLError as error:
        raise UserError(f'{path} is not YAML: {" ".join(str(error).split())}') from error
    if not (isinstance(content, dict) and 'base' in content):
        return content
    base = _mapping(_load(Path(path).parent / str(content.pop('base'))), f'base of {path}')
    return {**base, **content, 'options': {**(base.get('options') or {}), **(content.get('options') or {})}}


RUN_KEYS = ('label', 'recipe', 'options', 'command', 'output', 'subnets', 'each', 'untrained', 'judged')


def _runs(row: str, entry: Any, shared: Mapping[str, Any], subnets: Sequence[str]) -> tuple[list[Run], str]:
    """The runs of one row, one for each entry of ``each``, and the row's label."""
    entry = _mapping(entry, f'run {row}', RUN_KEYS)
    recipe, command, untrained = entry.get('recipe', ''), entry.get('command', ''), entry.get('untrained', False)
    if bool(command) != ('output' in entry) or not (recipe or command):
        raise UserError(f'run {row} needs a recipe, or a command and its output')
    if untrained and (command or not recipe):
        raise UserError(f'run {row} is untrained: it needs a recipe and takes no command')
    trains = not command or '{options}' in command.split()
    options = {**(shared if trains else {}), **(entry.get('options') or {})}
    each = entry.get('each')
    chosen = entry.get('subnets', ['intact'] if each else subnets)
    variants = {f'{row}/{size}': (size, own or {}) for size, own in each.items()} if each else {row: ('', {})}
    runs = [
        Run(
            name=name,
            row=row,
            recipe=recipe,
            options={**options, **own},
            command=[word.replace('{size}', size) for word in command.split()],
            output=entry.get('output', '').replace('{size}', size),
            subnets=chosen,
            untrained=untrained,
            judged=entry.get('judged', True),
        )
        for name, (size, own) in variants.items()
    ]
    return runs, entry.get('label', row)


def _mapping(content: Any, what: str, allowed: Sequence[str] = (), required: Sequence[str] = ()) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UserError(f'{what} must be a mapping, got {content!r}')
    if allowed and (unknown := sorted(content.keys() - set(allowed))):
        raise UserError(f'{what} has unknown keys {unknown}: allowed are {list(allowed)}')
    if missing := [name for name in required if name not in content]:
        raise UserError(f'{what} lacks {", ".join(missing)}')
    return dict(content)


def _check_name(name: str, known: Iterable[str], what: str) -> None:
    if name not in set(known):
        near = difflib.get_close_matches(name, list(known), n=3)
        raise UserError(f'{what} {name!r}, which does not exist' + (f'; near are {", ".join(near)}' if near else ''))
