"""What a person at the screen wants to know of a run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS

from ..loops import StepTrainLoop
from ..screen import show_bar

FIRST_STEP, LAST_STEP = 2, 7  # timed for the estimate: the first steps fill caches and start workers


@HOOKS.register_module()
class ProgressHook(Hook):
    """Says at the start what is trained on what, and shows a progress bar where the output is a terminal.

    Without a terminal the lines of ``LoggerHook`` appear instead of the bar, after an estimate of the time from the
    first steps; the log file has them in any case. ::

        default_hooks = dict(progress=dict(type='ProgressHook'))

    The loss is the mean that the logger printed last, so the bar never waits for the device. The sub-network is the one
    that the first process drew for its first micro-batch.
    """

    # After the logger.
    priority = 'LOW'

    def __init__(self) -> None:
        self.bar: tqdm | None = None

    def before_train(self, runner: Runner) -> None:
        """Log the summary and open the bar."""
        self.steps, self.began = 0, time.perf_counter()
        if not is_main_process():
            return
        lines = summary(runner)
        width = max(map(len, lines))
        runner.logger.info('\n' + '\n'.join(f'  {name:<{width}}  {text}' for name, text in lines.items()))
        self.close(runner)
        self.images = images_per_step(runner)
        if sys.stdout.isatty():
            self.bar = tqdm(
                total=runner.max_iters,
                initial=runner.iter,
                file=sys.stdout,
                # Some terminals do not know their width, and tqdm would draw nothing.
                **(dict(dynamic_ncols=True) if os.get_terminal_size(sys.stdout.fileno()).columns else dict(ncols=120)),
                bar_format='{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]',
            )
            show_bar(runner.logger, self.bar)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Advance the bar, or estimate the time."""
        if self.bar is None:
            self.estimate(runner)
            return
        values = []
        rate = self.bar.format_dict['rate']
        if rate:
            values.append(f'{rate * self.images:.3g} images/s')
        scalars = runner.message_hub.log_scalars
        if 'train/loss' in scalars:
            values.append(f'loss {scalars["train/loss"].mean(runner.log_processor.window_size):.4g}')
        model = unwrapped(runner.model)
        if getattr(model, 'sampler', None) is not None:
            subnets = model.draws.subnets(model.sampler, runner.iter, get_rank(), runner.seed)
            values.append(f'network {" + ".join(map(model.backbone.space.name, subnets))}')
        self.bar.set_postfix_str(', '.join(values), refresh=False)
        self.bar.update()

    def estimate(self, runner: Runner) -> None:
        """Log once how long the rest of the run will take."""
        self.steps += 1
        if self.steps == FIRST_STEP:
            self.start = time.perf_counter()
        elif self.steps == LAST_STEP and is_main_process():
            seconds = (time.perf_counter() - self.start) / (LAST_STEP - FIRST_STEP)
            left = runner.max_iters - runner.iter - 1
            runner.logger.info(f'{duration(left * seconds)} left: {left:,} steps, now {seconds:.3g} s each')

    def after_train(self, runner: Runner) -> None:
        """Close the bar, and say what the run leaves."""
        self.close(runner)
        newest = Path(runner.work_dir, 'last_checkpoint')
        if is_main_process() and newest.is_file():
            taken = duration(time.perf_counter() - self.began)
            runner.logger.info(f'finished in {taken}; the last checkpoint is {newest.read_text().strip()}')

    def close(self, runner: Runner) -> None:
        """Leave the bar as it is, and show lines from now on."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            show_bar(runner.logger, None)


def duration(seconds: float) -> str:
    """A time to two figures or so: ``40 s``, ``35 min``, ``5.2 h``, ``3.1 days``."""
    for unit, name in ((86400, 'days'), (3600, 'h')):
        if seconds >= 2 * unit:
            return f'{seconds / unit:.1f} {name}'
    return f'{seconds / 60:.0f} min' if seconds >= 120 else f'{seconds:.0f} s'


def images_per_step(runner: Runner) -> int:
    """Images of all processes of an iteration, which in a :class:`StepTrainLoop` is a whole optimizer step."""
    counts = runner.optim_wrapper._accumulative_counts if isinstance(runner.train_loop, StepTrainLoop) else 1
    return batch_size(runner) * get_world_size() * counts


def batch_size(runner: Runner) -> int:
    """Images of a batch of one process."""
    loader = runner.train_dataloader
    return loader.batch_size or loader.batch_sampler.batch_size


def summary(runner: Runner) -> dict[str, str]:
    """The run in a few lines: data, network, batch, length, files."""
    dataset = runner.train_dataloader.dataset
    processes, total, steps = get_world_size(), images_per_step(runner), runner.max_iters
    counts = total // (batch_size(runner) * processes)
    rates = [group.get('initial_lr', group['lr']) for group in runner.optim_wrapper.param_groups]
    lines = {
        'data': f'{len(dataset):,} images, {_origin(dataset)}',
        'network': _network(unwrapped(runner.model)),
        'batch': f'{total:,} images: {batch_size(runner)} per process x {processes} x {counts} accumulated',
        'learning rate': f'at most {max(rates):.3g}',
        'length': f'{steps:,} steps, {steps * total / len(dataset):.3g} passes over the data',
        'writes to': str(runner.work_dir),
        'full log': str(Path(runner.log_dir, f'{runner.timestamp}.log')),
    }
    if runner.iter:
        lines['starts after'] = f'step {runner.iter:,}'
    return lines


def _origin(dataset: Dataset) -> str:
    """Class and folder of the images, below all that wraps them."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    folder = getattr(dataset, 'data_root', None)
    return type(dataset).__name__ + (f' in {folder}' if folder else '')


def _network(model: nn.Module) -> str:
    backbone = getattr(model, 'backbone', model)
    size = sum(parameter.numel() for parameter in backbone.parameters())
    text = f'{type(model).__name__} of {type(backbone).__name__}, {size / 1e6:.3g} M parameters'
    space = getattr(backbone, 'space', None)
    if space is None:
        return text
    return f'{text}: {len(space)} sub-networks from {space.name(space.smallest)} to {space.name(space.intact)}'
