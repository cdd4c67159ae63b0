"""What identifies an optimizer step that was skipped because it was not finite."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from mmengine.dist import get_dist_info
from mmengine.runner import Runner

from poa_mm.datasets.sampler import SeededInfiniteSampler
from poa_mm.errors import UserError, not_found
from poa_mm.files import write_text
from poa_mm.models.poa import POA
from poa_mm.models.wrapping import unwrapped


class MicroBatch(TypedDict):
    """What one micro-batch of a process was made of."""

    subnets: list[str]
    images: list[str]


class SkippedStep(TypedDict):
    """A step of one process, as in its file.

    ``step`` counts from 1, as the log does. ``values`` are the logged losses, means over the micro-batches, and the
    gradient norms; JSON has no NaN, so numbers that are not finite are text.
    """

    step: int
    rank: int
    world_size: int
    seed: int
    first_non_finite: str
    values: dict[str, float | str]
    micro_batches: list[MicroBatch]


def describe_step(runner: Runner, iteration: int, values: Mapping[str, float]) -> SkippedStep:
    """Describe a step of this process.

    Args:
        runner: Of the training.
        iteration: Steps done before it.
        values: Losses in the order of their computation, then gradient norms.
    """
    rank, world_size = get_dist_info()
    counts = runner.optim_wrapper._accumulative_counts
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    # The total is logged first, and is not finite as soon as a part is not.
    bad = [name for name in bad if name != 'loss'] or bad
    return SkippedStep(
        step=iteration + 1,
        rank=rank,
        world_size=world_size,
        seed=runner.seed,
        first_non_finite=bad[0] if bad else 'none of these values',
        values={name: value if math.isfinite(value) else str(value) for name, value in values.items()},
        micro_batches=[
            MicroBatch(
                subnets=_subnets(runner, iteration, number * world_size + rank),
                images=_images(runner, iteration * counts + number),
            )
            for number in range(counts)
        ],
    )


def _subnets(runner: Runner, iteration: int, rank: int) -> list[str]:
    model = unwrapped(runner.model)
    if not isinstance(model, POA) or model.draws is None:
        return []
    drawn = model.draws.subnets(model.sampler, iteration, rank, runner.seed)
    return [model.backbone.space.name(subnet) for subnet in drawn]


def _images(runner: Runner, batch: int) -> list[str]:
    """Paths of a batch's images, or their numbers in the data set."""
    loader = runner.train_dataloader
    if not isinstance(loader.sampler, SeededInfiniteSampler):
        return []
    dataset = getattr(loader.dataset, 'dataset', loader.dataset)
    draws = loader.sampler.batch(batch)
    if not hasattr(dataset, 'get_data_info'):
        return [f'number {draw.index}' for draw in draws]
    return [str(dataset.get_data_info(draw.index).get('img_path', f'number {draw.index}')) for draw in draws]


def write_step(work_dir: str | Path, step: SkippedStep) -> Path:
    """Write a step to ``skipped/step_N_rank_R.json``."""
    path = Path(work_dir, 'skipped', f'step_{step["step"]}_rank_{step["rank"]}.json')
    return write_text(path, json.dumps(step, indent=1) + '\n')


def read_step(path: str | Path) -> SkippedStep:
    """Read a file of :func:`write_step`.

    Raises:
        UserError: It does not exist or is something else.
    """
    if not Path(path).is_file():
        raise UserError(f'skipped step {not_found(path)}')
    try:
        step = json.loads(Path(path).read_text())
    except (ValueError, OSError) as error:
        raise UserError(f'{path} is not a skipped step of poa train: {error}') from error
    numbers = ('step', 'rank', 'world_size', 'seed')
    if not isinstance(step, dict) or not all(isinstance(step.get(name), int) for name in numbers):
        raise UserError(f'{path} is not a skipped step of poa train: it lacks {", ".join(numbers)}')
    if not isinstance(step.get('values'), dict):
        raise UserError(f'{path} is not a skipped step of poa train: it lacks values')
    return step
