"""The result of one run and seed: a small file that tables and pictures are made from."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from poa_mm.engine.plan import Planner
from poa_mm.errors import UserError
from poa_mm.models.poa import POA
from poa_mm.registry import MODELS
from poa_mm.reporting.records import versions, write_json

from .definition import Run, Study

Result = Mapping[str, Any]


def result_path(folder: Path, run: Run, seed: int) -> Path:
    """The file of one run and seed."""
    return folder / f'{run.stem}-seed{seed}.json'


def make_result(
    run: Run, seed: int, cfg: Config | None, options: Mapping[str, Any], records: Mapping[str, Path]
) -> dict[str, Any]:
    """The content of a result file.

    Args:
        run: The run.
        seed: Its seed.
        cfg: Its config, if it is a training.
        options: ``--cfg-options`` of the command line.
        records: The result file of each protocol.

    Returns:
        What was run (recipe, options, steps, images seen, operations, precision), how many images it was judged with,
        and for each protocol the best accuracy of each sub-network in per cent.
    """
    judged = {name: json.loads(path.read_text()) for name, path in records.items()}
    first = next(iter(judged.values()))
    networks = {r['subnet']: r['params'] for record in judged.values() for r in record['results'] if 'subnet' in r}
    pixels = [r['best'] for record in judged.values() for r in record['results'] if r['kind'] == 'thumbnails']
    return dict(
        run=run.name,
        seed=seed,
        recipe=run.recipe,
        options={**run.options, **options},
        command=' '.join(run.command),
        **({} if cfg is None or run.untrained else training_cost(cfg)),
        precision='bfloat16' if first['protocol']['amp'] else 'float32',
        gallery=first['data']['train']['images'],
        queries=first['data']['val']['images'],
        classes=first['classes'],
        params=networks,
        accuracy={
            name: {r['subnet']: r['best'] for r in record['results'] if 'subnet' in r}
            for name, record in judged.items()
        },
        **(dict(thumbnails=pixels[0]) if pixels else {}),
        time=datetime.datetime.now().isoformat(timespec='seconds'),
        versions=versions(),
    )


def training_cost(cfg: Config) -> dict[str, Any]:
    """Steps, images seen, and for POA whose steps are alike the operations of a training, in units of 10^15."""
    steps, images = cfg.train_cfg.max_iters, cfg.optim_wrapper.total_batch
    cost = dict(steps=steps, images=steps * images)
    if issubclass(MODELS.get(cfg.model.type), POA) and not cfg.model.get('cheap_start'):
        cost['petaflop'] = round(Planner(cfg, 1).run_flops() / 1e15, 6)
    return cost


def write_result(path: Path, result: Result) -> None:
    """Write a result file, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)


def read_results(folder: Path, study: Study) -> dict[str, dict[int, Result]]:
    """All results of a study's runs that exist, by name of the run and seed.

    Seeds are those of the files, which may be more or fewer than the study's.

    Raises:
        UserError: If a file is not a result of the run that its name says.
    """
    found: dict[str, dict[int, Result]] = {}
    for run in study.runs:
        for path in sorted(folder.glob(f'{run.stem}-seed*.json')):
            try:
                content = json.loads(path.read_text())
                name, seed, _ = content['run'], content['seed'], content['accuracy']
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f'{path} is not a result of poa study') from error
            if name == run.name:
                found.setdefault(name, {})[seed] = content
    return found
