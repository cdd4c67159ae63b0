"""What the config of a pre-training or a distillation says of its log before it runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mmengine.config import Config

from poa_mm.errors import UserError
from poa_mm.models.schedule import PretrainSchedule

from .optim_constructor import LR_RULES
from .schedules import cosine, full_length

POINTS = 200  # of each schedule


def schedules_of(cfg: Config, name: str) -> dict[str, tuple[list[int], list[float]]]:
    """Learning rate and weight decay, and of POA the teacher's momentum and temperature, that a run logs at its steps.

    Args:
        cfg: A config of POA, SEED or a recovery.
        name: Its name, for the error.

    Raises:
        UserError: If the config does not have their schedules.
    """
    schedulers = {entry['type']: entry for entry in cfg.get('param_scheduler') or []}
    teacher = (cfg.get('default_hooks') or {}).get('teacher')
    if not {'CosineLR', 'CosineWeightDecay'} <= schedulers.keys():
        raise UserError(f'{name} is not a pre-training or a distillation with CosineLR and CosineWeightDecay')
    wrapper, last = cfg.optim_wrapper, cfg.train_cfg.max_iters
    rule = wrapper.get('lr_scaling') or {}
    ratio = wrapper.total_batch / rule.get('base_batch_size', wrapper.total_batch)
    factor, optimizer = LR_RULES[rule.get('rule')](ratio), wrapper.optimizer
    rate, decay = schedulers['CosineLR'], schedulers['CosineWeightDecay']

    def cosine_of(step: int, entry: Mapping, start: float) -> float:
        total = full_length(entry['steps'], entry.get('run_fraction', 1.0))
        return cosine(step, start, entry['final'], total, entry.get('warmup', 0))

    values = {
        'base_lr': lambda step: cosine_of(step, rate, factor * optimizer.lr),
        'weight_decay': lambda step: cosine_of(step, decay, optimizer.weight_decay),
    }
    turns = {rate.get('warmup', 0)}
    if teacher:
        schedule = PretrainSchedule(**cfg.model.get('schedule', {}))
        values['momentum'] = lambda step: cosine_of(step, teacher, teacher['start'])
        values['teacher_temp'] = schedule.teacher_temp
        turns.add(schedule.temp_steps)
    steps = sorted(
        {*np.linspace(1, last, min(last, POINTS)).round().astype(int).tolist(), *(s + 1 for s in turns if 0 < s < last)}
    )
    # A run logs at step N what the N-th update used.
    return {key: (steps, [value(step - 1) for step in steps]) for key, value in values.items()}


def uniform_losses(cfg: Config) -> dict[str, float]:
    """Losses and entropy of the targets if all outputs are uniform: a run that stays there learns nothing.

    A loss is then ``ln K``; the entropy is logged as a share of it. Without prototypes there are none.
    """
    if 'num_prototypes' not in (cfg.model.get('head') or {}):
        return {}
    log = float(np.mean(np.log(cfg.model.head.num_prototypes)))
    views, collate = cfg.train_dataloader.dataset.views, cfg.train_dataloader.collate_fn
    local = 2 * views.local.number
    parts = dict({'global': 2 / (2 + local), 'local': local / (2 + local)}, patch=collate.get('mask_probability', 0.5))
    students = cfg.model.get('students', ('intact', 'elastic'))
    found = {'target_entropy': 1.0} | {
        f'{student}_{part}': share * log for student in students for part, share in parts.items()
    }
    return {**found, 'same_view': 2 * log} if len(students) == 2 else found
