"""Checks before the first step: what is resumed, and what would silently train wrongly."""

from __future__ import annotations

import logging

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor, nn

from poa_mm.datasets.sampler import SeededInfiniteSampler
from poa_mm.datasets.views import ViewsDataset
from poa_mm.errors import UserError, listed
from poa_mm.files import load_weights
from poa_mm.models.poa import POA
from poa_mm.models.wrapping import plain_weights, unwrapped
from poa_mm.registry import HOOKS

from ..precision import emulates_bfloat16
from ..resume import check_resume, differing
from ..schedulers import CosineParam
from .teacher_ema import TeacherEMAHook


@HOOKS.register_module()
class StartCheckHook(Hook):
    """Checks a run before its weights are loaded; ``poa train`` adds it to every config.

    A checkpoint to resume must be of this model and optimizer (:func:`check_resume`). Pre-training with
    :class:`POA` also needs

    - :class:`SeededInfiniteSampler`: with another sampler, every pass shows the same crops of an image;
    - without an intact student, a search for parameters that have no gradient;
    - :class:`TeacherEMAHook`: without it the teacher, which extraction takes, never moves;
    - schedules that do not end before the run;
    - of ``load_from``, a checkpoint of the same networks;
    - crops that the backbone can take, at least one of them local, and a mask grid that fits the global ones, which
      otherwise is found only when the masked-patch loss starts.

    Raises:
        UserError: One of these is not so.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Check once; MMEngine loads weights after this."""
        if not isinstance(runner._train_loop, BaseLoop):
            return  # a test
        if runner._resume and runner._load_from:
            check_resume(runner._load_from, runner)
        warn_of_emulation(runner)
        model = unwrapped(runner.model)
        if not isinstance(model, POA):
            return
        check_sampler(runner)
        check_wrapper(runner, model)
        check_schedules(runner)
        if runner._load_from and not runner._resume:
            check_start(runner._load_from, model)
        check_crops(runner, model)


def warn_of_emulation(runner: Runner) -> None:
    """Say so where a config's bfloat16 is slow."""
    if getattr(runner.optim_wrapper, 'amp_dtype', None) is torch.bfloat16 and emulates_bfloat16():
        text = 'This CPU has no fast bfloat16 products: optim_wrapper.amp_dtype=None (float32) is far faster'
        print_log(text, 'current', logging.WARNING)


def check_sampler(runner: Runner) -> None:
    """Refuse other samplers than ours.

    Raises:
        UserError: It is another.
    """
    sampler = runner.train_dataloader.sampler
    if isinstance(runner.train_dataloader.dataset, ViewsDataset) and not isinstance(sampler, SeededInfiniteSampler):
        raise UserError(
            f'train_dataloader.sampler must be SeededInfiniteSampler, got {type(sampler).__name__}, with which every '
            'pass would show the same crops of an image'
        )


def check_wrapper(runner: Runner, model: POA) -> None:
    """Refuse a search for unused parameters that is off and needed.

    Raises:
        UserError: Without an intact student, blocks that no process has drawn have no gradient.
    """
    if 'intact' not in model.students and not getattr(runner.model, 'find_unused_parameters', True):
        raise UserError(
            f'students={model.students} leaves blocks without a gradient that no process has drawn: set '
            'model_wrapper_cfg.find_unused_parameters=True'
        )


def check_schedules(runner: Runner) -> None:
    """Refuse a run without a moving teacher, or with schedules that end before it; warn of longer ones.

    Raises:
        UserError: There is no :class:`TeacherEMAHook`, or a schedule is too short.
    """
    steps = runner.train_loop.max_iters
    ema = [hook for hook in runner.hooks if isinstance(hook, TeacherEMAHook)]
    if not ema:
        raise UserError(
            'the config has no TeacherEMAHook, so the teacher would never move: set '
            "default_hooks.teacher=dict(type='TeacherEMAHook', start=..., final=..., steps=...)"
        )
    schedulers = runner.param_schedulers if isinstance(runner.param_schedulers, list) else []
    for schedule in [*ema, *(s for s in schedulers if isinstance(s, CosineParam))]:
        difference = (
            f'{type(schedule).__name__} has steps={schedule.steps}, but train_cfg.max_iters is {steps} (in our '
            'recipes, the variable steps sets both)'
        )
        if schedule.steps < steps:
            raise UserError(f'{difference}: a run cannot be longer than its schedules')
        if schedule.steps > steps:  # a trial of a few steps
            print_log(f'{difference}: the run ends before its schedules do', 'current', logging.WARNING)


def check_start(path: str, model: POA) -> None:
    """Refuse ``load_from`` of other networks: MMEngine would load every weight whose name and shape fit.

    Raises:
        UserError: The file lacks a weight of the student's or the teacher's backbone, or has it in another shape.
    """
    if '://' in path:
        return
    contents = load_weights(path)
    weights = plain_weights(contents)
    expected = {k: v for k, v in model.state_dict().items() if k.startswith(('backbone.', 'teacher.backbone.'))}
    problems = [*differing({name: weights[name] for name in expected if name in weights}, expected)]
    if problems:
        differences = listed(problems, 3, '; ')
        raise UserError(
            f'load_from={path} does not fit the networks of this config: {differences} (to start from a '
            "backbone alone, use model.backbone.init_cfg=dict(type='Pretrained', checkpoint=...))"
        )


def check_crops(runner: Runner, model: POA) -> None:
    """Run the smallest network on one empty image of each size, the global one with an empty mask.

    Raises:
        UserError: Local crops are missing, the backbone cannot take the crops, or the grid of ``collate_fn`` does not
            fit the global ones.
    """
    dataset = runner.train_dataloader.dataset
    if not isinstance(dataset, ViewsDataset):
        return
    size, local = dataset.views['global_1'].size, dataset.views['local']
    views = 'train_dataloader.dataset.views'
    if local.number < 1:
        raise UserError(f'{views}.local.number must be at least 1, got {local.number}')
    grid = getattr(runner.train_dataloader.collate_fn, 'keywords', {}).get('grid')
    masks = None if grid is None else torch.zeros(1, grid[0] * grid[1], dtype=torch.bool)
    in_collate = f'train_dataloader.collate_fn.grid={grid and tuple(grid)} does not fit global crops of {size} px'
    for problem, side, mask in (
        (f'{views}.global_1.size={size} does not fit the backbone', size, None),
        (f'{views}.local.size={local.size} does not fit the backbone', local.size, None),
        (in_collate, size, masks),
    ):
        try:
            if mask is not None and grid[0] != grid[1]:
                raise UserError('crops are square')
            _try_crop(model.teacher.backbone, side, mask)
        except UserError as error:
            raise UserError(f'{problem}: {error}') from error


@torch.no_grad()
def _try_crop(backbone: nn.Module, side: int, mask: Tensor | None) -> None:
    device = next(backbone.parameters()).device
    training = backbone.training
    try:
        image = torch.zeros(1, 3, side, side, device=device)
        backbone.eval()([image], mask if mask is None else mask.to(device), backbone.space.smallest)
    finally:
        backbone.train(training)
