"""The working tree against another revision of it, in turn in one run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from benchmarks.timing import compare_steps
from poa_mm.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def compare_revision(
    revision: str, config: str, arguments: Sequence[str], steps: int, warmup: int, root: Path = ROOT
) -> dict:
    """Times of a step at a revision and in the working tree, and the ratio ``tree / revision`` of every pair.

    Each runs in a process of its own; while one works, the other waits for its input.

    Args:
        revision: Any name of a commit that has ``python -m benchmarks.step --serve``.
        config: A config file; one inside the checkout is read as it was at the revision.
        arguments: Command line of :mod:`benchmarks.step`, with ``config`` and ``--against``.
        steps: Pairs of timed steps.
        warmup: Pairs of steps before those.
        root: The checkout.

    Raises:
        UserError: ``root`` is not a git checkout, the revision is unknown, or the step fails there.
        UserError: The config does not exist.
    """
    path = Path(config).resolve()
    if not path.is_file():
        raise UserError(f'config {config!r} does not exist')
    options = list(arguments)
    options[options.index('--against') : options.index('--against') + 2] = ['--serve']
    place = options.index(config)
    with ExitStack() as stack:
        steps_of = []
        for folder, name in ((stack.enter_context(extracted(root, revision)), revision), (root, 'the working tree')):
            options[place] = str(folder / path.relative_to(root) if path.is_relative_to(root) else path)
            steps_of.append(stack.enter_context(RemoteStep(folder, name, options)))
        return compare_steps(*steps_of, steps, warmup)


@contextmanager
def extracted(root: Path, revision: str) -> Iterator[Path]:
    """A temporary folder with the files of a revision.

    Raises:
        UserError: git is missing, ``root`` is not a checkout, or the revision is unknown.
    """
    if shutil.which('git') is None:
        raise UserError('a comparison of revisions needs git, which is not installed')

    def git(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(['git', '-C', str(root), *arguments], capture_output=True, text=True)

    if git('rev-parse', '--is-inside-work-tree').returncode:
        raise UserError(f'a comparison with revision {revision!r} needs a git checkout, which {root} is not')
    commit = git('rev-parse', '--verify', '--quiet', '--end-of-options', f'{revision}^{{commit}}')
    if commit.returncode:
        raise UserError(f'{revision!r} is not a revision of the checkout {root}')
    with TemporaryDirectory() as folder:
        archive, files = Path(folder, 'files.tar'), Path(folder, 'files')
        git('archive', '--format=tar', f'--output={archive}', commit.stdout.strip()).check_returncode()
        shutil.unpack_archive(archive, files, filter='data')
        yield files


class RemoteStep:
    """A training step in another process (``python -m benchmarks.step --serve``); a call is one step.

    Args:
        folder: The checkout to run.
        name: What to call it in messages.
        arguments: Command line of :mod:`benchmarks.step`.

    Attributes:
        images (int): Images of one step.

    Raises:
        UserError: If the step fails there.
    """

    def __init__(self, folder: Path, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.errors = TemporaryFile('w+')  # noqa: SIM115 closed in __exit__
        # Without PASSIVE, the threads of the process that waits keep its cores busy for a while.
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'benchmarks.step', *arguments],
            cwd=folder,
            env=dict(os.environ, PYTHONPATH=str(folder), OMP_WAIT_POLICY='PASSIVE'),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.images = int(self._answer('images'))

    def __call__(self) -> None:
        print(file=self.process.stdin, flush=True)
        self._answer('done')

    def _answer(self, expected: str) -> str:
        for line in self.process.stdout:  # the step may print other lines
            word, _, rest = line.partition(' ')
            if word.strip() == expected:
                return rest
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        raise UserError(f'the step of {self.name} fails: {lines[-1] if lines else "it printed nothing"}')

    def __enter__(self) -> RemoteStep:
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()
