"""Values of other types or out of range are one sentence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from poa_mm.config import check_config, load_config
from poa_mm.config.value_check import annotations, describe, matches
from poa_mm.engine import TeacherEMAHook
from poa_mm.errors import UserError

DEMO = str(Path(__file__).resolve().parents[2] / 'configs/poa_demo.py')
VIEWS = 'train_dataloader.dataset.views.local'


@pytest.mark.parametrize(
    'key, value, message',
    [
        ('model.backbone.drop_path_rate', 1.5, 'must be at least 0 and below 1, got 1.5'),
        ('model.backbone.widths', 64, 'a list of integers, got 64'),
        ('model.backbone.depths', 3, 'must be a list of '),
        ('model.backbone.head_dim', 0, 'must be an integer of at least 1'),
        ('model.backbone.patch_size', 0, 'must be an integer of at least 1'),
        ('model.backbone.img_size', -48, 'must be an integer of at least 1'),
        ('model.head.num_prototypes', 64, 'must be a list of '),
        ('model.head.num_prototypes', (0,), 'must be an integer of at least 1'),
        ('model.head.hidden_dims', -1, 'must be an integer of at least 1'),
        ('model.student_temp', -0.1, 'must be above 0, got -0.1'),
        ('model.student_temp', 0, 'must be above 0'),
        ('model.intact_weight', 'a', "must be a number, got 'a'"),
        ('model.loss_weights', 3, 'must be a dict'),
        ('model.loss_weights', dict(koleo=-1), 'must be at least 0'),
        ('model.loss_weights', dict(koleo='a'), 'must be at least 0'),
        ('model.sampler', 3, 'must be a dict or None'),
        ('model.schedule.patch_loss_start', 'x', 'must be an integer or None'),
        ('optim_wrapper.paramwise_cfg', dict(layer_decay_rate=9), 'must be above 0 and at most 1, got 9'),
        ('optim_wrapper.optimizer.lr', '0.004', "must be above 0, got '0.004'"),
        ('optim_wrapper.optimizer.lr', -1, 'must be above 0'),
        ('optim_wrapper.optimizer.betas', (0.9,), 'must be two numbers'),
        ('optim_wrapper.optimizer.weight_decay', 'a', 'must be at least 0'),
        ('optim_wrapper.clip_grad', 3, 'must be a dict or None'),
        ('optim_wrapper.clip_grad.max_norm', '1', 'must be above 0'),
        ('train_cfg.max_iters', -5, 'must be an integer of at least 1'),
        ('train_cfg.max_iters', 'a', 'must be an integer'),
        ('train_dataloader.batch_size', 0, 'must be an integer of at least 1'),
        ('train_dataloader.batch_size', 'a', 'must be an integer of at least 1'),
        ('train_dataloader.num_workers', -1, 'must be an integer of at least 0'),
        ('train_dataloader.collate_fn.grid', 6, r'must be \(an integer, an integer\), got 6'),
        ('train_dataloader.collate_fn.mask_ratio', 2, r'must be \(a number, a number\)'),
        ('train_dataloader.dataset.dataset.num_samples', 'a', 'must be an integer'),
        ('default_hooks.teacher.start', 'a', 'must be a number'),
        ('default_hooks.checkpoint.interval', 0, 'must be an integer of at least 1, or -1'),
        ('default_hooks.logger.interval', 0, 'must be an integer of at least 1, or -1'),
        ('default_hooks.finite_check.limit', 'a', 'must be an integer'),
        ('param_scheduler.0.warmup', 'a', 'must be'),
        ('param_scheduler.0.final', 'a', 'must be a number'),
        ('randomness.seed', 'a', 'must be an integer from 0'),
        ('randomness.seed', -1, 'must be an integer from 0'),
        ('load_from', 3, 'must be text or None'),
        ('resume', 'x', 'must be True or False'),
        ('param_scheduler', 3, 'must be a'),
        ('default_hooks', 3, 'must be a dict'),
        ('model', 3, 'must be a dict'),
        ('log_processor', 3, 'must be a dict'),
    ],
)
def test_mistakes(key, value, message, tmp_path):
    with pytest.raises(UserError, match=message) as stopped:
        check_config(load_config(DEMO, {key: value}, str(tmp_path), 'none'))
    assert key.split('.')[-1] in str(stopped.value) and '\n' not in str(stopped.value)


@pytest.mark.parametrize(
    'value, hint, fits',
    [
        (3, int, True), (3.0, int, False), (True, int, False), (3, float, True), ('3', float, False),
        (True, bool, True), (1, bool, False), ('a', str, True), (None, int | None, True), (None, int, False),
        ([1, 2], tuple[int, int], True), ((1,), tuple[int, int], False), ((1, 2, 3), tuple[int, ...], True),
        ((1, 'a'), Sequence[int], False), ('ab', Sequence[str], False), ([], list, True), (dict(a=1), dict, True),
        (dict(type='X'), TeacherEMAHook, True), ([], Mapping, False), ('a', Literal['a', 'b'], True),
        ('c', Literal['a', 'b'], False), ('x', Path, True), (3, str | Path, False), (object(), Any, True),
    ],
)  # fmt: skip
def test_matches(value, hint, fits):
    assert matches(value, hint) is fits


def test_descriptions_and_annotations():
    assert describe(tuple[int, int] | None) == '(an integer, an integer) or None'
    assert describe(Sequence[float]) == 'a list of numbers' and describe(dict | bool) == 'a dict or True or False'
    assert annotations(TeacherEMAHook) == dict(start=float, final=float, steps=int, run_fraction=float)
