"""Mistakes of users, run against the real commands: each must end in one sentence that names it, exit code 2.

    python -m tests.helpers.mistakes

runs all of them and prints what was accepted, ended in a traceback, or in a sentence without the expected word.
``tests/test_mistakes.py`` runs a part. A line of the lists is a mistake, a bar, and a word of its sentence:

- ``mistakes_of_options.txt``: changes of the demo's config, which ``poa train`` gets as ``--cfg-options``; ``@`` is
  ``train_dataloader.dataset``, ``#`` its ``views``;
- ``mistakes_of_commands.txt``: whole command lines; ``CONFIG`` is a tiny recipe, ``FILE`` a checkpoint of it, ``DATA``
  its ``--train`` and ``--val``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

TINY_RECIPE = """
model = dict(
    type='POA',
    backbone=dict(
        type='ElasticVisionTransformer', img_size=16, patch_size=8, widths=(16, {width}, 8), depths=(2, 4), head_dim=8))
randomness = dict(seed=4)
"""
# A training step is not reached, so its size does not matter; but the networks are built each time.
SMALL = (
    'total_batch=4', 'batch_size=4', 'steps=20', 'train_dataloader.num_workers=0', 'default_hooks.first_batch=None',
    'train_dataloader.persistent_workers=false', 'model.backbone.widths=(32,64,32)', 'model.backbone.depths=(2,3)',
    'model.head.num_prototypes=(32,)', 'train_dataloader.dataset.dataset.num_samples=40',
)  # fmt: skip
WORDS = dict(
    DEMO=str(ROOT / 'configs/poa_demo.py'),
    CONFIG='tiny.py',
    FILE='iter_5.pth',
    FINETUNE='finetune.py',
    DATA='--train train --val val --workers 0',
)


class Result(NamedTuple):
    """What became of a mistake: ``'sentence'``, ``'accepted'``, ``'traceback'`` or ``'another sentence'``."""

    line: str
    kind: str
    text: str
    seconds: float


class Accepted(Exception):
    """A training would have made its first step."""


def mistakes() -> Iterator[tuple[list[str], str]]:
    """The arguments of ``poa`` and a word of the sentence, for every mistake."""
    places = {'@': 'train_dataloader.dataset', '#': 'train_dataloader.dataset.views'}
    for line in (HERE / 'mistakes_of_options.txt').read_text().splitlines():
        text, _, word = line.rpartition('|')
        keys = [places.get(key[0], key[0]) + key[1:] for key in shlex.split(text)]
        yield ['train', WORDS['DEMO'], '--work-dir', 'run', '--cfg-options', *SMALL, *keys], word.strip()
    for line in (HERE / 'mistakes_of_commands.txt').read_text().splitlines():
        text, _, word = line.rpartition('|')
        for short, long in WORDS.items():
            text, word = text.replace(short, long), word.replace(short, long)
        yield shlex.split(text), word.strip()


def prepare(folder: Path) -> None:
    """The files that the command lines name."""
    import cv2
    import numpy as np
    import torch

    from poa_mm.commands import main
    from poa_mm.registry import MODELS

    def write(name: str, text: str) -> None:
        (folder / name).write_text(text)

    write('tiny.py', TINY_RECIPE.format(width=32))
    write('other.py', TINY_RECIPE.format(width=40))
    finetune = (ROOT / 'configs/eval/finetune_vits.py').read_text()
    write('finetune.py', finetune.replace("'_base_/", f"'{ROOT}/configs/eval/_base_/"))
    write('syntax.py', "model = dict(type='POA')\nsteps = = 3\n")
    write('name_error.py', 'steps = undefined_name\n')
    write('no_base.py', "_base_ = 'missing_base.py'\n")
    write('circle.py', "_base_ = 'circle.py'\n")
    write('not_a_dict.py', f"_base_ = '{WORDS['DEMO']}'\nmodel = 'POA'\n")
    write('notes.txt', 'notes\n')
    write('text.pth', 'not a checkpoint\n')
    write('damaged.json', '{"protocol": "knn", "results": [')
    write('list.json', '[1, 2]')
    write('keyless.json', '{"protocol": "knn"}')
    write('numbers.json', '{"protocol": 3, "results": "none", "seconds": "x"}')
    for name, width in (('iter_5.pth', 32), ('other.pth', 40), ('nan.pth', 32)):
        text = TINY_RECIPE.format(width=width)
        scope: dict = {}
        exec(text, scope)
        torch.manual_seed(0)
        backbone = MODELS.build({'_scope_': 'poa_mm', **scope['model']['backbone']})
        weights = {f'teacher.backbone.{k}': v for k, v in backbone.state_dict().items()}
        if name == 'nan.pth':
            next(iter(weights.values())).fill_(float('nan'))
        torch.save(dict(meta=dict(cfg=text, iter=5, seed=4), state_dict=weights), folder / name)
    torch.save(dict(state_dict={}), folder / 'hollow.pth')
    (folder / 'truncated.pth').write_bytes((folder / 'iter_5.pth').read_bytes()[:-300])
    (folder / 'damaged').mkdir()
    (folder / 'damaged/iter_3.pth').write_bytes((folder / 'truncated.pth').read_bytes())
    for name in ('empty', 'folder', 'run'):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    image = cv2.imencode('.png', rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))[1].tobytes()
    images = {f'{split}/{name}': image for split in ('train', 'val') for name in ('dark', 'light')}
    images |= {f'three/{name}': image for name in ('dark', 'light', 'third')} | {'flat': image, 'holed/dark': image}
    for place, content in (images | {'broken_images': b'broken'}).items():
        (folder / place).mkdir(parents=True)
        for number in range(12):
            (folder / place / f'{number}.png').write_bytes(content)
    (folder / 'holed/hollow').mkdir()
    (folder / 'run/0/vis_data').mkdir(parents=True)
    write('run/0/vis_data/scalars.json', ''.join(json.dumps(dict(step=n, loss=9 - n)) + '\n' for n in range(1, 4)))
    write('run/poa_demo.py', '')
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with contextlib.chdir(folder), quiet[0], quiet[1]:
        main(shlex.split('knn iter_5.pth --train train --val val --workers 0 --k 3 --out good.json'))


def try_all(folder: Path, chosen: list[tuple[list[str], str]]) -> Iterator[Result]:
    """Run mistakes in this process; a training is stopped before its first step."""
    from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

    from poa_mm.engine import StepTrainLoop

    prepare(folder)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    with contextlib.ExitStack() as stack:
        for loop in (EpochBasedTrainLoop, IterBasedTrainLoop, StepTrainLoop):
            stack.enter_context(mock.patch.object(loop, 'run_iter', side_effect=Accepted))
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(mock.patch.dict(os.environ))
        for arguments, word in chosen:
            yield _try(arguments, word)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _try(arguments: list[str], word: str) -> Result:
    from poa_mm.commands import main

    forget_runs()
    start, out, found = time.time(), io.StringIO(), ''
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(out):
            main(arguments)
        kind = 'accepted'
    except SystemExit as stopped:
        found = (out.getvalue().strip().splitlines() or [''])[-1]
        kind = 'sentence' if stopped.code == 2 and 'error: ' in found else f'exit code {stopped.code}'
        if kind == 'sentence' and word.lower() not in found.lower():
            kind = 'another sentence'
    except Accepted:
        kind = 'accepted'
    except Exception:
        kind, found = 'traceback', traceback.format_exc()
    shown = [a for a in arguments if a not in SMALL and not a.endswith('configs/poa_demo.py')]
    return Result(shlex.join(shown), kind, found, time.time() - start)


def forget_runs() -> None:
    """Loggers, message hubs and visualizers are kept by name, and the name has the second of the start."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    for manager in (MessageHub, MMLogger, DefaultScope, Visualizer):
        manager._instance_dict.clear()


if __name__ == '__main__':
    wanted = [each for each in mistakes() if all(word in ' '.join(each[0]) for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory() as place:
        counts: dict[str, int] = {}
        for result in try_all(Path(place), wanted):
            counts[result.kind] = counts.get(result.kind, 0) + 1
            if result.kind != 'sentence':
                print(f'{result.kind}: poa {result.line}\n    {result.text}', flush=True)
    print(', '.join(f'{kind}: {number}' for kind, number in counts.items()), f'of {len(wanted)}')
    sys.exit(counts.keys() != {'sentence'})
