"""Computes a skipped step again, from the checkpoint before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.runner import Runner

from poa_mm.config import load_config
from poa_mm.config.recipes import run_config
from poa_mm.engine.hooks import WatchStepHook
from poa_mm.engine.newest import checkpoint_before
from poa_mm.engine.skipped import SkippedStep, describe_step, read_step
from poa_mm.errors import UserError

from .runner import build_runner, open_data, prepare_processes, set_resume

# What a replay leaves out: it writes no checkpoint, evaluates nothing, and does not end early.
LEFT_OUT = ('knn', 'first_batch', 'finite_check', 'progress', 'collapse')


def replay(path: str | Path, options: dict[str, Any], launcher: str, local_rank: int = 0) -> Iterator[str]:
    """Train from the newest checkpoint before a skipped step to that step, and watch it.

    Steps depend on the seed, their number and the rank alone, so on the same machine and number of processes it is the
    same step bit for bit. The work dir of the run is only read.

    Args:
        path: What ``poa train`` wrote for the step, in ``skipped`` of the work dir.
        options: Changes of the run's config, as ``--cfg-options`` gives them.
        launcher: Of several processes; there must be as many as in the run.
        local_rank: Of this process, if the environment does not set it.

    Yields:
        In the process of the step's rank, lines of text: what was computed, whether it equals what was recorded, and
        what was not finite first.

    Raises:
        UserError: A file is missing or something else, or the number of processes differs.
    """
    step = read_step(path)
    work_dir = Path(path).resolve().parents[1]
    with TemporaryDirectory() as folder:
        cfg = load_config(str(run_config(work_dir)), options, folder, launcher)
        start = checkpoint_before(work_dir, step['step'])
        cfg.resume = False
        if start is not None:
            set_resume(cfg, str(start))
        prepare_processes(cfg, local_rank)
        if get_world_size() != step['world_size']:
            raise UserError(
                f'the step was computed by {step["world_size"]} processes, not {get_world_size()}: start '
                f'torchrun --nproc_per_node {step["world_size"]} tools/replay.py ... --launcher pytorch'
            )
        runner = _watched(cfg, step)
        open_data(runner, 'train')
        runner.train()
        if get_rank() == step['rank']:
            yield f'step {step["step"]} of {work_dir}, computed again from {start.name if start else "the beginning"}'
            yield from _compare(runner, step)


def _watched(cfg: Config, step: SkippedStep) -> Runner:
    """The runner of a run that ends with the step."""
    cfg.train_cfg.max_iters = step['step']
    cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': step['seed']}
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.log_level = 'ERROR'
    cfg.default_hooks.update(dict.fromkeys(LEFT_OUT))
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.default_hooks.watch = dict(type='poa_mm.WatchStepHook', iteration=step['step'] - 1)
    return build_runner(cfg)


def _compare(runner: Runner, step: SkippedStep) -> Iterator[str]:
    (watch,) = (hook for hook in runner.hooks if isinstance(hook, WatchStepHook))
    again = describe_step(runner, watch.iteration, watch.values)
    for number, batch in enumerate(again['micro_batches']):
        images = ', '.join(batch['images'])
        yield f'micro-batch {number}: sub-networks intact, {", ".join(batch["subnets"])}; images {images}'
    differing = [name for name, value in step['values'].items() if again['values'].get(name) != value]
    for name in step['values']:
        note = f', recorded {step["values"][name]}' if name in differing else ''
        yield f'{name}: {again["values"].get(name)}{note}'
    yield 'all values are those recorded' if not differing else f'other values than recorded: {", ".join(differing)}'
    yield f'first module with an output that is not finite: {watch.module or "none"}'
    yield f'first value that is not finite: {again["first_non_finite"]}'
    yield f'first gradient that is not finite: {watch.gradient or "none"}'
