"""Runs what a study still lacks: each run is trained, judged, and kept as one small result file."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from poa_mm.arguments import parse_value
from poa_mm.config import check_config, find_config, load_config
from poa_mm.errors import UserError

from .definition import PLACEHOLDER, Run, Study
from .results import make_result, result_path, write_result


@dataclass(frozen=True)
class Queue:
    """The runs of a study, in a folder ``out/seedK/NAME`` each.

    A run consists of commands that a user could type; each is printed, and its output goes to ``output.txt`` of the
    folder. What exists is not computed again: a result, a judgement, a finished training; a training that was stopped
    goes on from its newest checkpoint.

    Args:
        study: The study.
        out: Folder for trainings.
        results: Folder for the result files.
        values: Of placeholders: ``train``, ``val``, ``images`` and others.
        options: ``--cfg-options`` of all trainings.
        amp: Whether trainings and features use mixed precision.
        workers: Processes that read images for the protocols.

    Attributes:
        processes: The commands that run now.
        stopping: Set by :meth:`stop`.
    """

    study: Study
    out: Path
    results: Path
    values: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    amp: bool = True
    workers: int = 1
    processes: list[subprocess.Popen] = field(default_factory=list, init=False, repr=False)
    stopping: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def run(self, runs: Sequence[Run], seeds: Sequence[int], jobs: int = 1) -> None:
        """Run what is missing; a run that fails does not stop those that do not need it.

        Args:
            runs: Those of the study to run.
            seeds: All runs with the first, then all with the next.
            jobs: Runs at a time.

        Raises:
            UserError: Before anything starts, if an option does not fit a recipe; at the end, if a run failed.
        """
        configs = {run.name: self.config(run) for run in runs if run.recipe and not run.command}
        tasks: dict[tuple[str, int], Future] = {}
        with ThreadPoolExecutor(jobs) as pool:
            for seed in seeds:
                for run in self.missing(runs, seed):
                    needed = [tasks[name, seed] for name in run.placeholders() if (name, seed) in tasks]
                    tasks[run.name, seed] = pool.submit(self._run_once, run, seed, configs.get(run.name), needed)
            try:
                failed = [f'{name} (seed {seed})' for (name, seed), task in tasks.items() if not task.result()]
            except BaseException:  # Ctrl-C, or SIGTERM as SystemExit
                self.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failed:
            raise UserError(f'{len(failed)} of {len(tasks)} runs failed: {", ".join(failed)}; the same command retries')

    def stop(self) -> None:
        """Ask the commands that run to end: a training writes a checkpoint, from which it goes on next time."""
        self.stopping.set()
        for process in list(self.processes):
            process.terminate()

    def missing(self, runs: Sequence[Run], seed: int) -> list[Run]:
        """The runs without a result, and those whose network such a run needs and that is not there."""
        found: list[Run] = []
        for run in reversed(runs):
            needed = any(run.name in other.placeholders() for other in found)
            lacks_result = run.judged and not result_path(self.results, run, seed).exists()
            if lacks_result or (needed and not self.network(run, seed).exists()):
                found.insert(0, run)
        return found

    def commands(self, run: Run, seed: int) -> list[list[str]]:
        """All commands of a run, as words; the first word is ``poa`` or a program."""
        judging = [self._judging(run, seed, protocol) for protocol in self.study.judge] if run.judged else []
        return [*([] if run.untrained else [self._making(run, seed)]), *judging]

    def config(self, run: Run, seed: int = 0) -> Config:
        """The recipe of a run with all options.

        Raises:
            UserError: If it does not exist or an option does not fit.
        """
        cfg = load_config(run.recipe, self.run_options(run, seed), None, 'none')
        check_config(cfg)
        return cfg

    def run_options(self, run: Run, seed: int) -> dict[str, Any]:
        """``--cfg-options`` of a run: its own, then those of the command line."""
        own = {key: self._option(value, run, seed) for key, value in run.options.items()}
        return {**own, **self.options, 'randomness.seed': seed}

    def folder(self, run: Run, seed: int) -> Path:
        """Where a run's files are."""
        return self.out / f'seed{seed}' / run.stem

    def network(self, run: Run, seed: int) -> Path:
        """The file that a run makes: the last checkpoint of its training, or its command's output."""
        if run.command:
            return self.folder(run, seed) / run.output
        return self.folder(run, seed) / f'iter_{self.config(run, seed).train_cfg.max_iters}.pth'

    def fill(self, text: str, run: Run, seed: int) -> str:
        """A text with its placeholders replaced.

        Raises:
            UserError: If one has no value.
        """
        made = {other.name: other for other in self.study.runs}
        own = dict(file=self.folder(run, seed) / run.output, folder=self.folder(run, seed), seed=seed)

        def value(match) -> str:
            name = match[1]
            if name in made:
                return str(self.network(made[name], seed))
            given = {**self.study.values, **own, **self.values}
            if given.get(name) is None:
                raise UserError(f'run {run.name} needs {name}: give --{name} or --set {name}=VALUE')
            return str(given[name])

        return PLACEHOLDER.sub(value, text)

    def _option(self, value: Any, run: Run, seed: int) -> Any:
        """An option with its placeholders replaced; one of the study's ``values`` alone may be a number."""
        if not isinstance(value, str):
            return value
        text, placeholder = self.fill(value, run, seed), PLACEHOLDER.fullmatch(value)
        return parse_value(text) if placeholder and placeholder[1] in self.study.values else text

    def _run_once(self, run: Run, seed: int, cfg: Config | None, needed: Sequence[Future]) -> bool:
        """Make and judge a network, leaving out what is done; whether it succeeded."""
        if self.stopping.is_set():
            return False
        if not all(task.result() for task in needed):
            print(f'{run.name}, seed {seed}: not run, because a run that it needs failed', flush=True)
            return False
        folder = self.folder(run, seed)
        folder.mkdir(parents=True, exist_ok=True)
        if not (run.untrained or self.network(run, seed).exists() or self._execute(self._making(run, seed), folder)):
            return False
        result = result_path(self.results, run, seed)
        if result.exists() or not run.judged:
            return True
        records = {protocol: self._record(run, seed, protocol) for protocol in self.study.judge}
        for protocol, path in records.items():
            if not path.exists() and not self._execute(self._judging(run, seed, protocol), folder):
                return False
        write_result(result, make_result(run, seed, cfg, self.options, records))
        return True

    def _record(self, run: Run, seed: int, protocol: str) -> Path:
        """The result file of a protocol."""
        return self.folder(run, seed) / f'{protocol}.json'

    def _making(self, run: Run, seed: int) -> list[str]:
        if run.command:
            options = self._settings(run, seed)
            words = [options if word == '{options}' else [self.fill(word, run, seed)] for word in run.command]
            return [word for group in words for word in group]
        words = ['poa', 'train', run.recipe, *self._amp(), '--resume', '--work-dir', str(self.folder(run, seed))]
        return [*words, *self._cfg_options(run, seed)]

    def _judging(self, run: Run, seed: int, protocol: str) -> list[str]:
        words = ['poa', protocol]
        # A training's checkpoint holds its config, and so does the file of a command that names no recipe.
        named = run.recipe and (run.command or run.untrained)
        if named:
            words.append(str(find_config(run.recipe)))
        if run.untrained:
            words += ['--untrained', *(['--thumbnails'] if protocol == 'knn' else [])]
        else:
            words.append(str(self.network(run, seed)))
        words += ['--subnets', *run.subnets, '--seed', str(seed), *self._amp(), '--workers', str(self.workers)]
        for key, value in self.study.judge[protocol].items():
            words += [f'--{key}', *([] if value is True else map(str, value if isinstance(value, list) else [value]))]
        words += ['--train', self.values['train'], '--val', self.values['val']]
        words += ['--out', str(self._record(run, seed, protocol))]
        changed = named and (run.untrained or '{options}' in run.command)
        return words + (self._cfg_options(run, seed) if changed else [])

    def _cfg_options(self, run: Run, seed: int) -> list[str]:
        return ['--cfg-options', *self._settings(run, seed)]

    def _settings(self, run: Run, seed: int) -> list[str]:
        return [f'{key}={_text(value)}' for key, value in self.run_options(run, seed).items()]

    def _amp(self) -> list[str]:
        return ['--amp'] if self.amp else []

    def _execute(self, words: Sequence[str], folder: Path) -> bool:
        """Run a command, its output appended to the folder's; whether it succeeded."""
        print(shlex.join(words), flush=True)
        program = [sys.executable, '-m', 'poa_mm'] if words[0] == 'poa' else [words[0]]
        with open(folder / 'output.txt', 'a', encoding='utf-8') as output:
            try:  # in a session of its own, so that Ctrl-C reaches it once, by stop()
                process = subprocess.Popen(
                    [*program, *words[1:]], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
                )
            except OSError as error:  # no such program
                print(f'cannot run {words[0]}: {error.strerror}', flush=True)
                return False
        self.processes.append(process)
        if self.stopping.is_set():  # meanwhile
            process.terminate()
        code = process.wait()
        self.processes.remove(process)
        if code:
            print(f'ended with {code}: see {folder / "output.txt"}', flush=True)
        return not code


def _text(value: Any) -> str:
    """A value as ``--cfg-options`` reads it: texts without quotes."""
    return value if isinstance(value, str) else repr(value)
