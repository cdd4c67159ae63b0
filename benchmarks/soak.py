"""A small run that is killed, signalled, damaged and left without disk again and again, against the undisturbed one."""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.command import run
from poa_mm.arguments import positive
from poa_mm.errors import INTERRUPTED, USER_ERROR, UserError

ROOT = Path(__file__).resolve().parents[1]
STEP = re.compile(r'Iter\(train\) +\[ *(\d+)/')
ENDS = {  # exit code after each disturbance
    'SIGKILL': -signal.SIGKILL,
    'SIGTERM': INTERRUPTED,
    'SIGUSR1': INTERRUPTED,
    'SIGINT': INTERRUPTED,
    'truncated': -signal.SIGKILL,
    'flipped byte': -signal.SIGKILL,
    'full disk': USER_ERROR,
}
KINDS = tuple(ENDS)
IMAGES, BAD = 40, 6  # images of the folder, and how many of them cannot be read
# A step of 35 ms, so that the time goes into the disturbances.
TINY = (
    'total_batch=4', 'batch_size=4', 'log_interval=4',
    'model.backbone.widths=(32,64,32)', 'model.backbone.depths=(1,2)',
    'model.head.num_prototypes=(32,)', 'model.head.hidden_dims=32', 'model.head.bottleneck_dims=16',
    'train_dataloader.dataset.views.local.number=1', 'default_hooks.checkpoint.interval=10',
    'default_hooks.checkpoint.max_keep_ckpts=3', 'default_hooks.first_batch=None',
)  # fmt: skip


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.soak', description=__doc__)
    parser.add_argument('folder', help='folder for the two runs, new or empty')
    parser.add_argument('--steps', type=positive, default=5000, help='of the run (5000)')
    parser.add_argument('--every', type=positive, default=40, help='steps between disturbances, on average (40)')
    parser.add_argument('--seed', type=int, default=0, help='of the disturbances (0)')
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> None:
    """Run both and print what was found."""
    for name, value in soak(Path(args.folder), args.steps, args.every, args.seed).items():
        print(f'{name:34} {value}')


def soak(folder: Path, steps: int, every: int, seed: int = 0, options: tuple[str, ...] = TINY) -> dict:
    """Train twice, once undisturbed.

    Some of the images cannot be read, in both runs.

    Args:
        folder: Receives the work dirs ``whole`` and ``disturbed``, and ``images``.
        steps: Optimizer steps.
        every: Mean number of steps between two disturbances.
        seed: Decides on their places; the kinds take turns.
        options: ``--cfg-options``.

    Returns:
        Disturbances by kind; unexpected ends (exit codes other than in :data:`ENDS`, tracebacks), steps computed twice,
        bad images met, weights that differ at the end, leftover files, growth of memory in MB and of open files over
        the longest life.

    Raises:
        UserError: If the undisturbed run fails.
    """
    rng, counts = random.Random(seed), Counter(dict.fromkeys(KINDS, 0))
    make_images(folder / 'images')
    data = f"dict(_delete_=True,type='ImageFolder',data_root='{folder / 'images'}')"
    options = (*options, f'train_dataloader.dataset.dataset={data}')
    whole = _Life(folder / 'whole', steps, options)
    if whole.until(steps + 1) != 0:
        raise UserError(f'the undisturbed run failed: {"".join(whole.lines[-5:])}')
    place, done, unexpected, repeated, lives = folder / 'disturbed', 0, [], 0, [whole]
    while done < steps:
        kind, target = KINDS[counts.total() % len(KINDS)], done + rng.randint(1, 2 * every)
        life = _Life(place, steps, options)
        lives.append(life)
        code = life.until(target, kind, rng)
        if life.first:
            repeated += max(0, done + 1 - life.first)
            done = life.last
        if code == 0:
            break
        counts[kind] += 1
        # Workers of a killed process complain of it.
        if code != ENDS[kind] or (code > 0 and any('Traceback' in line for line in life.lines)):
            unexpected.append(f'{kind}: exit code {code}: {life.lines[-1].strip()}')
        if kind in ('truncated', 'flipped byte'):
            _damage(place, kind, rng)
        if len(unexpected) > 20:
            break
    longest = max(lives, key=lambda life: life.last - life.first)
    return dict(
        **counts,
        unexpected=unexpected,
        steps_computed_again=repeated,
        bad_images=sum('cannot read image' in line for life in lives for line in life.lines),
        differing_weights=_differing(folder / f'whole/iter_{steps}.pth', place / f'iter_{steps}.pth'),
        leftover_files=len([*place.glob('.*'), *place.glob('*.incomplete')]),
        steps_of_longest_life=longest.last - longest.first,
        growth_of_memory_mb=round(longest.memory[-1] - longest.memory[len(longest.memory) // 5], 1),
        growth_of_open_files=longest.files[-1] - longest.files[0],
    )


class _Life:
    """One process of a run."""

    def __init__(self, work_dir: Path, steps: int, options: tuple[str, ...]) -> None:
        self.lines, self.memory, self.files, self.first, self.last = [], [], [], 0, 0
        self.process = subprocess.Popen(
            [sys.executable, '-u', ROOT / 'tools/train.py', ROOT / 'configs/poa_demo.py', '--work-dir', work_dir]
            + ['--resume', '--cfg-options', *options, f'steps={steps}'],
            env=os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1'),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until(self, step: int, kind: str = 'SIGKILL', rng: random.Random | None = None) -> int:
        """Send a signal when a step is logged, or let files grow no further; returns the exit code."""
        sent = False
        for line in self.process.stdout:
            self.lines.append(line)
            if (match := STEP.search(line)) is None:
                continue
            self.last = int(match[1])
            self.first = self.first or self.last
            if not sent:
                self._look()
            if self.last >= step and not sent:
                sent = True
                if kind == 'full disk':  # of all files, or of the next checkpoint
                    size = rng.choice((0, 10**5))
                    resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, size))
                else:
                    self.process.send_signal(getattr(signal, kind, signal.SIGKILL))
        return self.process.wait()

    def _look(self) -> None:
        place = Path('/proc', str(self.process.pid))
        try:
            resident = int((place / 'statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
            self.files.append(len(os.listdir(place / 'fd')))
            self.memory.append(resident)
        except OSError:  # it has just ended
            pass


def make_images(folder: Path) -> None:
    """Small images, the same ones every time; some files are empty, cut off, or something else."""
    import cv2
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        content = cv2.imencode('.png', rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))[1].tobytes()
        if number < BAD:
            content = (b'', content[:50], b'not an image')[number % 3]
        (folder / f'{number:02}.png').write_bytes(content)


def _damage(place: Path, kind: str, rng: random.Random) -> None:
    """Damage the newest checkpoint, as long as another is left."""
    files = sorted(place.glob('iter_*.pth'), key=lambda path: int(path.stem[5:]))
    if len(files) < 2:
        return
    content = bytearray(files[-1].read_bytes())
    if kind == 'truncated':
        del content[rng.randrange(len(content)) :]
    else:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    files[-1].write_bytes(content)


def _differing(one: Path, two: Path) -> int | str:
    import torch

    from poa_mm.files import load_weights

    if not two.exists():
        return 'the disturbed run did not finish'
    weights = [load_weights(path)['state_dict'] for path in (one, two)]
    return sum(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())


if __name__ == '__main__':
    run(parse_args, measure)
