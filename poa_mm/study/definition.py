"""What a study is: a YAML file with runs, how they are judged, and which are compared."""

from __future__ import annotations

import difflib
import os
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from poa_mm.errors import UserError

PLACEHOLDER = re.compile(r'\{([\w./-]+)\}')
OWN_PLACEHOLDERS = ('file', 'folder', 'train', 'val', 'images', 'seed', 'options')
PROTOCOLS = {'knn': 'k-NN', 'linear': 'linear probe'}

# Kinds of values, as messages name them; a mapping may be left empty.
TEXT, SWITCH, MAPPING = 'a text', 'true or false', 'a mapping with texts as keys'
TEXTS, NUMBERS, PAIRS = 'a list of texts', 'a list of whole numbers', 'a list of pairs of rows'
STUDY_KEYS = dict(
    base=TEXT,
    title=TEXT,
    seeds=NUMBERS,
    judge=MAPPING,
    options=MAPPING,
    runs=MAPPING,
    compare=PAIRS,
    picture=TEXTS,
    values=MAPPING,
)
JUDGE_KEYS = dict(subnets=TEXTS, **dict.fromkeys(PROTOCOLS, MAPPING))
RUN_KEYS = dict(
    label=TEXT,
    recipe=TEXT,
    options=MAPPING,
    command=TEXT,
    output=TEXT,
    subnets=TEXTS,
    each=MAPPING,
    untrained=SWITCH,
    judged=SWITCH,
)


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
            UserError: If it does not exist, is not YAML, has an unknown key or a value of another kind, or does not fit
                together (:meth:`check`).
        """
        content = _load(path)
        if missing := [key for key in ('title', 'judge', 'runs') if not content.get(key)]:
            raise UserError(f'{path} lacks {", ".join(missing)}')
        judge = _mapping(content['judge'], f'judge of {path}', JUDGE_KEYS)
        subnets = judge.pop('subnets', ['named'])
        runs, labels = [], {}
        for row, entry in content['runs'].items():
            found, label = _runs(row, entry, content.get('options', {}), subnets)
            runs += found
            labels[row] = label
        study = cls(
            title=content['title'],
            seeds=content.get('seeds', [0, 1, 2]),
            runs=runs,
            labels=labels,
            judge=judge,
            compare=[tuple(pair) for pair in content.get('compare', [])],
            picture=content.get('picture', []),
            values={name: str(value) for name, value in content.get('values', {}).items()},
        )
        study.check(path)
        return study

    def check(self, path: str | Path) -> None:
        """Check that names of rows and placeholders exist; a run may use only runs above it.

        Raises:
            UserError: If one does not, no protocol is named, or two runs have the same files.
        """
        if not self.judge:
            raise UserError(f'judge of {path} names no protocol: allowed are {", ".join(PROTOCOLS)}')
        by_stem: dict[str, Run] = {}
        for run in self.runs:
            if (other := by_stem.setdefault(run.stem, run)) is not run:
                raise UserError(f'{path} has the runs {other.name} and {run.name}, whose files have the same names')
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


def _load(path: str | Path, above: Sequence[str] = ()) -> dict[str, Any]:
    """The content of a YAML file over that of its ``base``, a file beside it; the ``options`` of both are merged."""
    if (place := os.path.realpath(path)) in above:
        raise UserError(f'{path} is a base of itself')
    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'study {str(path)!r} cannot be read: {error.strerror}') from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or no such date
        raise UserError(f'{path} is not YAML: {" ".join(str(error).split())}') from error
    content = _mapping(content, str(path), STUDY_KEYS)
    if 'base' not in content:
        return content
    base = _load(Path(path).parent / content.pop('base'), [*above, place])
    return {**base, **content, 'options': {**base.get('options', {}), **content.get('options', {})}}


def _runs(row: str, entry: Any, shared: Mapping[str, Any], subnets: Sequence[str]) -> tuple[list[Run], str]:
    """The runs of one row, one for each entry of ``each``, and the row's label."""
    entry = _mapping(entry, f'run {row}', RUN_KEYS)
    recipe, command, untrained = entry.get('recipe', ''), entry.get('command', ''), entry.get('untrained', False)
    if bool(command) != ('output' in entry) or not (recipe or command):
        raise UserError(f'run {row} needs a recipe, or a command and its output')
    if untrained and (command or not recipe):
        raise UserError(f'run {row} is untrained: it needs a recipe and takes no command')
    trains = not command or '{options}' in command.split()
    options = {**(shared if trains else {}), **entry.get('options', {})}
    each = entry.get('each')
    chosen = entry.get('subnets', ['intact'] if each else subnets)
    variants = {row: ('', {})}
    if each:
        variants = {f'{row}/{size}': (size, _mapping(own, f'{size} of run {row}')) for size, own in each.items()}
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


def _mapping(content: Any, what: str, kinds: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A mapping whose keys are texts, or with ``kinds`` only those, with values of these kinds."""
    _check_kind(content, MAPPING, what)
    found = dict(content or {})
    if kinds is None:
        return found
    if unknown := sorted(found.keys() - kinds.keys()):
        raise UserError(f'{what} has unknown keys {unknown}: allowed are {list(kinds)}')
    for key, value in found.items():
        _check_kind(value, kinds[key], f'{key} of {what}')
    return {key: {} if value is None else value for key, value in found.items()}


def _check_kind(value: Any, kind: str, what: str) -> None:
    def lists(values: Any, of: type) -> bool:
        return isinstance(values, list) and all(type(each) is of for each in values)

    fits = {
        TEXT: isinstance(value, str),
        SWITCH: isinstance(value, bool),
        MAPPING: value is None or (isinstance(value, dict) and lists(list(value), str)),
        TEXTS: lists(value, str),
        NUMBERS: lists(value, int) and value != [],
        PAIRS: lists(value, list) and all(len(pair) == 2 and lists(pair, str) for pair in value),
    }
    if not fits[kind]:
        raise UserError(f'{what} must be {kind}, got {reprlib.repr(value)}')


def _check_name(name: str, known: Iterable[str], what: str) -> None:
    if name not in set(known):
        near = difflib.get_close_matches(name, list(known), n=3)
        raise UserError(f'{what} {name!r}, which does not exist' + (f'; near are {", ".join(near)}' if near else ''))
