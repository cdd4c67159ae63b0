"""The working tree against another revision of it, in turn in one run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import torch

from poa_mm.errors import UserError

from .report import compare

ROOT = Path(__file__).resolve().parents[1]
REMOTE = Path(__file__).with_name('remote.py')


def compare_revision(revision: str, config: str, steps: int, warmup: int, root: Path = ROOT, **arguments) -> dict:
    """Times of a step at a revision and in the working tree, and of every pair the ratio ``tree / revision``.

    Each runs in a process of its own; while one works, the other waits for its input.

    Args:
        revision: Any name of a commit.
        config: A config file; one inside the checkout is read as it was at the revision.
        steps: Pairs of steps that are timed.
        warmup: Pairs of steps before that.
        root: The checkout.
        arguments: Of :func:`benchmarks.remote.main`.

    Raises:
        UserError: ``root`` is no git checkout, the revision is unknown, or the step cannot be run there.
        UserError: There is no such config.
    """
    path = Path(config).resolve()
    if not path.is_file():
        raise UserError(f'config {config!r} does not exist')
    inside = path.is_relative_to(root)
    with ExitStack() as stack:
        old = stack.enter_context(extracted(root, revision))
        configs = [path.relative_to(root) if inside else path, path]
        ends = [
            stack.enter_context(RemoteStep(folder, name, dict(path=str(file), **arguments)))
            for folder, name, file in zip((old, root), (revision, 'the working tree'), configs)
        ]
        return compare(*ends, steps, warmup)


@contextmanager
def extracted(root: Path, revision: str) -> Iterator[Path]:
    """A temporary folder with the files of a revision.

    Raises:
        UserError: ``root`` is no git checkout, or the revision is unknown.
    """
    if git(root, 'rev-parse', '--is-inside-work-tree').returncode:
        raise UserError(f'a comparison with revision {revision!r} needs a git checkout, which {root} is not')
    commit = git(root, 'rev-parse', '--verify', '--quiet', '--end-of-options', f'{revision}^{{commit}}')
    if commit.returncode:
        raise UserError(f'{revision!r} is no revision of the checkout {root}')
    archive = git(root, 'archive', '--format=tar', commit.stdout.decode().strip())
    archive.check_returncode()
    with TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter='data')
        yield Path(folder)


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run git in a folder.

    Raises:
        UserError: There is no git.
    """
    try:
        return subprocess.run(['git', '-C', str(root), *arguments], capture_output=True)
    except FileNotFoundError as error:
        raise UserError('a comparison of revisions needs git, which is not installed') from error


class RemoteStep:
    """A training step in another process; a call is one step, with the device's work done at the end.

    Args:
        folder: Of the version of the project.
        name: What to call it in messages.
        arguments: Of :func:`benchmarks.remote.main`.

    Attributes:
        images (int): Images of one step.

    Raises:
        UserError: If the step cannot be built there.
    """

    device = torch.device('cpu')  # whose clock is read: here, not there

    def __init__(self, folder: Path, name: str, arguments: dict) -> None:
        self.name = name
        self.errors = TemporaryFile('w+')  # noqa: SIM115 closed in __exit__
        # Without PASSIVE, the threads of the process that waits keep its cores busy for a while.
        env = dict(os.environ, PYTHONPATH=str(folder), OMP_WAIT_POLICY='PASSIVE')
        self.process = subprocess.Popen(
            [sys.executable, '-c', REMOTE.read_text(), json.dumps(arguments)],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.images = int(self._answer())

    def __call__(self) -> None:
        print(file=self.process.stdin, flush=True)
        self._answer()

    def _answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            told = self.errors.read().strip().splitlines()
            raise UserError(f'the step of {self.name} cannot be run: {told[-1] if told else "it said nothing"}')
        return line

    def __enter__(self) -> RemoteStep:
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()
