"""What it takes to make a trained network elastic: k-NN of its slices before and after a short continuation.

    python -m benchmarks.make_elastic --images data/my_images --train data/classes/train --val data/classes/val \
      --out work_dirs/make_elastic

For every seed: trains one size with the single recipe, imports it plain and reordered, continues from the reordered
weights for some shares of the steps, trains all sizes from scratch, and compares the same sizes of all of these. What
is already in the output folder is not computed again, so a stopped study goes on where it was. See
docs/make_elastic.md.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from . import command

SIZES = ['192x8', '192x6', '160x7', '160x5', '128x6', '128x4', '96x6', '96x4']


def parse_args(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', required=True, metavar='DIR', help='images for all trainings and for importance')
    parser.add_argument('--train', required=True, metavar='DIR', help='k-NN gallery: one sub-folder per class')
    parser.add_argument('--val', required=True, metavar='DIR', help='k-NN images, same layout')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for everything')
    parser.add_argument('--single', default='configs/single_vit_small.py', help='recipe of one size')
    parser.add_argument('--scratch', default='configs/poa_vit_small.py', help='recipe of all sizes, from scratch')
    parser.add_argument('--continued', default='configs/continue_vit_small.py', help='recipe of the continuation')
    parser.add_argument('--steps', type=int, default=1000, help='of a full training (default: 1000)')
    parser.add_argument('--shares', nargs='+', type=float, default=[0.05, 0.1, 0.2], help='steps of the continuations')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--sizes', nargs='+', default=SIZES, help='sub-networks to compare')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='for the recipes of all trainings'
    )
    return parser.parse_args(arguments)


def study(args: argparse.Namespace) -> None:
    """Run what is missing, then print and write the table."""
    accuracies: dict[str, list[list[float]]] = {}
    for seed in args.seeds:
        for label, checkpoint in checkpoints(args, args.out / f'seed{seed}', seed):
            accuracies.setdefault(label, []).append(evaluate(args, label, checkpoint))
    from poa_mm.files import write_text
    from poa_mm.reporting.tables import markdown_table

    rows = [[label, *map(summary, zip(*runs))] for label, runs in accuracies.items()]
    table = markdown_table(['k-NN, %', *args.sizes], rows)
    print(table)
    print(f'written to {write_text(args.out / "make_elastic.md", table + chr(10))}')


def checkpoints(args: argparse.Namespace, folder: Path, seed: int) -> list[tuple[str, Path]]:
    """The checkpoints of one seed by their labels, trained or imported where they are missing."""
    single = train(args, args.single, folder / 'single', args.steps, seed)
    found = [('slices of one size', single)]
    start = single
    for by in ('magnitude', 'firstorder'):
        start = folder / f'{by}.pth'
        options = ['--reorder', by, *(['--images', args.images] if by == 'firstorder' else [])]
        once(start, 'import', single, args.continued, '--out', start, *options, '--cfg-options', *args.cfg_options)
        found.append((f'reordered by {by}', start))
    for share in args.shares:
        steps = round(share * args.steps)
        checkpoint = train(args, args.continued, folder / f'continued{steps}', steps, seed, f'load_from={start}')
        found.append((f'continued for {share:.0%} of the steps', checkpoint))
    return [*found, ('all sizes from scratch', train(args, args.scratch, folder / 'scratch', args.steps, seed))]


def train(args: argparse.Namespace, config: str, folder: Path, steps: int, seed: int, *options: str) -> Path:
    """The last checkpoint of a training."""
    checkpoint = folder / f'iter_{steps}.pth'
    settings = [f'steps={steps}', f'randomness.seed={seed}', f'data_root={args.images}', *options, *args.cfg_options]
    once(checkpoint, 'train', config, '--amp', '--resume', '--work-dir', folder, '--cfg-options', *settings)
    return checkpoint


def evaluate(args: argparse.Namespace, label: str, checkpoint: Path) -> list[float]:
    """Best k-NN accuracy of every size, in per cent."""
    result = checkpoint.with_suffix('.json')
    options = ['--train', args.train, '--val', args.val, '--subnets', *args.sizes, '--cfg-options', *args.cfg_options]
    once(result, 'knn', args.continued, checkpoint, '--out', result, *options)
    from poa_mm.reporting.records import read_knn

    found = {r['subnet']: r['best'] for r in read_knn(result)['results']}
    return [found[size] for size in args.sizes]


def once(output: Path, *arguments: str | Path) -> None:
    """Run a command of poa_mm unless its output exists.

    Raises:
        UserError: If it fails.
    """
    if not output.exists():
        given = [str(a) for a in arguments]
        if given[-1] == '--cfg-options':
            given.pop()
        print('poa', *given, flush=True)
        if subprocess.run([sys.executable, '-m', 'poa_mm', *given]).returncode:
            from poa_mm.errors import UserError

            raise UserError(f'poa {given[0]} failed; the same command continues the study')


def summary(values: tuple[float, ...]) -> str:
    """Mean and standard deviation over seeds."""
    mean = statistics.mean(values)
    return f'{mean:.1f}' if len(values) == 1 else f'{mean:.1f} ± {statistics.stdev(values):.1f}'


if __name__ == '__main__':
    command.run(parse_args, study)
