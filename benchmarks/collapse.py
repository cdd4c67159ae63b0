"""Healthy and collapsing short runs, and the step at which CollapseHook warns of each.

    python -m benchmarks.collapse OUT --images data/my_images

Each run has 200 steps of 32 images of 48 px: a few minutes of one core. What is already in the folder is not run again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import run
from poa_mm.arguments import positive
from poa_mm.errors import UserError

if TYPE_CHECKING:
    from poa_mm.visualization.curves import Curve

ROOT = Path(__file__).resolve().parents[1]
VIEWS = 'train_dataloader.dataset.views'
# A run of 1000 steps, of which the first are made.
SHORT = (
    'steps=1000', 'total_batch=32', 'batch_size=32', 'default_hooks.logger.interval=10',
    'default_hooks.first_batch=None', 'default_hooks.checkpoint.interval=1000', 'train_dataloader.num_workers=1',
    'model.head.num_prototypes=(128,256)', 'model.head.hidden_dims=128', 'model.head.bottleneck_dims=64',
    f'{VIEWS}.global_1.size=48', f'{VIEWS}.global_2.size=48', f'{VIEWS}.local.size=24', f'{VIEWS}.local.number=1',
)  # fmt: skip
SMALLER = ('model.backbone.widths=(32,64,32)', 'model.backbone.depths=(2,3)')
RECIPES = {
    'demo': ('poa_demo', *SMALLER),
    'ViT': (
        'poa_vit_small', *SMALLER, 'model.backbone.img_size=48', 'model.backbone.patch_size=8',
        'train_dataloader.collate_fn.grid=(6,6)',
    ),
    'Swin': (
        'poa_swin_small', 'model.backbone.img_size=48', 'model.backbone.widths=(16,32,16)',
        'model.backbone.depths=(1,2)', 'train_dataloader.collate_fn.grid=(3,3)',
    ),
    'ResNet': (
        'poa_resnet_small', 'model.backbone.widths=(8,16,8)', 'model.backbone.depths=((1,1),(1,1),(1,2))',
        'model.backbone.stem_channels=8', 'model.backbone.out_channels=32', 'model.backbone.num_groups=4',
        'train_dataloader.collate_fn.grid=(3,3)',
    ),
}  # fmt: skip
CHANGES = {
    'healthy': (),
    # The prototypes are frozen for 10 steps, and the teacher temperature rises.
    'prototypes': (
        'default_hooks.freeze_last_layer.steps=10', 'model.schedule.temp_final=0.07', 'model.schedule.temp_steps=60',
    ),
    'no KoLeo': ('model.loss_weights.koleo=0',),
}  # fmt: skip
# Change, recipe, number of seeds.
RUNS = [
    *(('prototypes', 'ViT', 1), ('no KoLeo', 'ViT', 1), ('prototypes', 'demo', 1), ('no KoLeo', 'demo', 1)),
    *(('healthy', 'ResNet', 2), ('healthy', 'Swin', 2), ('healthy', 'ViT', 3), ('healthy', 'demo', 3)),
]


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.collapse', description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, metavar='OUT', help='folder for the runs')
    parser.add_argument('--images', required=True, metavar='DIR', help='images of all recipes but the demo')
    parser.add_argument('--steps', type=positive, default=200, help='of each run (200)')
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> None:
    """Make the runs that are missing, and print the table."""
    from poa_mm.reporting.tables import markdown_table
    from poa_mm.visualization.curves import read_curves

    rows = []
    for change, recipe, seeds in RUNS:
        for seed in range(seeds):
            folder = args.out / f'{change}-{recipe}-{seed}'.replace(' ', '_')
            train(folder, change, recipe, seed, args)
            curves = read_curves(folder)
            entropy = curves['target_entropy'][1]
            last = [f'{curves[name][1][-1]:.3g}' for name in ('prototypes_used', 'equal_neighbours', 'feature_rank')]
            rows.append(
                [change, recipe, str(seed), f'{entropy[0]:.4f}', f'{max(entropy):.4f}', f'{entropy[-1]:.4f}', *last]
                + [warning(curves)]
            )
            print(' | '.join(rows[-1]), flush=True)
    names = ['change', 'recipe', 'seed', 'entropy at first', 'highest', 'at last', 'used', 'equal', 'rank', 'warning']
    print(markdown_table(names, rows))


def warning(curves: Mapping[str, Curve]) -> str:
    """Step and kind of the first warning; each look is logged, so it is judged by the same function as in the run."""
    from poa_mm.engine.hooks.collapse import collapsed

    (steps, entropy), (_, equal) = curves['target_entropy'], curves['equal_neighbours']
    for number, step in enumerate(steps, 1):
        if kind := collapsed(entropy[:number], equal[:number]):
            return f'{step}, {kind}'
    return 'none'


def train(folder: Path, change: str, recipe: str, seed: int, args: argparse.Namespace) -> None:
    """Make a run, unless it is there.

    Raises:
        UserError: It failed.
    """
    log = folder / 'screen.txt'
    if not log.is_file():
        name, *options = RECIPES[recipe]
        options = [*SHORT, *options, *CHANGES[change], f'train_cfg.max_iters={args.steps}', f'randomness.seed={seed}']
        if recipe != 'demo':
            options.append(f'data_root={args.images}')
        command = [sys.executable, ROOT / 'tools/train.py', ROOT / f'configs/{name}.py', '--work-dir', folder]
        environment = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1')
        done = subprocess.run(
            [*command, '--cfg-options', *options], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UserError(f'{folder} failed: {done.stderr.strip().splitlines()[-1]}')
        log.write_text(done.stdout + done.stderr)


if __name__ == '__main__':
    run(parse_args, measure)
