"""Run a study: many trainings with several seeds, judged and compared alike."""

from __future__ import annotations

import signal
import sys
from argparse import Action, ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from poa_mm.arguments import add_cfg_options, positive, result_folder
from poa_mm.errors import UserError

if TYPE_CHECKING:
    from poa_mm.study.definition import Study


class Values(Action):
    """``NAME=VALUE ...`` as a dict of texts."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: list[str], option_string=None) -> None:
        pairs = [text.partition('=') for text in values]
        if not all(name and equals for name, equals, _ in pairs):
            parser.error(f'{option_string} takes NAME=VALUE, got {" ".join(values)!r}')
        setattr(namespace, self.dest, {name: value for name, _, value in pairs})


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('study', metavar='STUDY.yaml', help='runs, how they are judged, and which are compared')
    parser.add_argument(
        '--out',
        type=result_folder,
        metavar='DIR',
        help='write trainings here; the same command goes on where it was (default: run nothing, only report)',
    )
    parser.add_argument(
        '--results', type=Path, metavar='DIR', help='small result files, table and pictures (default: OUT/results)'
    )
    data = parser.add_argument_group('data')
    data.add_argument('--images', metavar='DIR', help='images to train on, without labels (default: those of --train)')
    data.add_argument(
        '--train', metavar='DIR', help='training (gallery) images: one sub-folder per class (default: none)'
    )
    data.add_argument('--val', metavar='DIR', help='validation images, same layout (default: none)')
    chosen = parser.add_argument_group('what is run')
    chosen.add_argument('--only', nargs='+', default=[], metavar='NAME', help='rows or runs (default: all)')
    chosen.add_argument('--seeds', nargs='+', type=int, metavar='N', help="(default: the study's)")
    chosen.add_argument('--jobs', type=positive, default=1, metavar='N', help='runs at a time (default: 1)')
    chosen.add_argument('--workers', type=positive, default=1, help='data-loading workers when judging (default: 1)')
    chosen.add_argument('--fp32', action='store_true', help='no mixed precision (default: bfloat16)')
    chosen.add_argument(
        '--set',
        nargs='+',
        action=Values,
        default={},
        metavar='NAME=VALUE',
        help='values of placeholders of the study (default: none)',
    )
    add_cfg_options(parser)


def run(args: Namespace) -> None:
    """Run what is missing, then write ``table.md``, ``sizes.png`` and ``gains.png``.

    Raises:
        UserError: If the study makes no sense, data are missing, or a run failed.
    """
    from poa_mm.study.definition import Study
    from poa_mm.study.report import report

    study = Study.read(args.study)
    if args.out is None and args.results is None:
        raise UserError('give --out DIR to run the study, or --results DIR to report results that exist')
    results = args.results or args.out / 'results'
    try:
        if args.out is not None:
            run_missing(study, args, results)
    finally:  # what is there is reported when a run fails or is interrupted, too
        if any(results.glob('*-seed*.json')):
            print('\n'.join(f'written to {path}' for path in report(study, results)))


def run_missing(study: Study, args: Namespace, results: Path) -> None:
    """Run what is missing of a study; all its commands are parsed before the first one starts."""
    from poa_mm.engine.precision import check_amp
    from poa_mm.study.queue import Queue

    from .main import build_parser

    if args.train is None or args.val is None:
        raise UserError('a study is judged with --train DIR and --val DIR: give both')
    values = {'train': args.train, 'val': args.val, 'images': args.images or args.train, **args.set}
    queue = Queue(study, args.out, results, values, args.cfg_options, not args.fp32, args.workers)
    runs, seeds = study.chosen(args.only), args.seeds or study.seeds
    parser = build_parser()
    for program, *words in (words for run in runs for words in queue.commands(run, seeds[0])):
        if program == 'poa':
            parser.parse_args(words)
    if not args.fp32:
        check_amp('give --fp32')
    # As Ctrl-C: the trainings that run write a checkpoint.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        queue.run(runs, seeds, args.jobs)
    finally:
        signal.signal(signal.SIGTERM, before)
