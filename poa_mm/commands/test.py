"""Test a trained classifier, detector or segmentor on the test data of its config."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from poa_mm.arguments import add_launch_arguments, positive, result_file_ending, result_folder
from poa_mm.errors import UserError, not_found

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('config', help='config: a file or the name of a recipe')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out',
        type=result_file_ending('.json', '.pkl'),
        metavar='FILE.json|FILE.pkl',
        help='write the metrics as a result file, or the predictions (default: print only)',
    )
    parser.add_argument(
        '--show-dir',
        type=result_folder,
        metavar='DIR',
        help='draw predictions beside the truth into this folder, a PNG file for each image (default: not drawn)',
    )
    parser.add_argument(
        '--show-interval', type=positive, default=1, metavar='N', help='draw every N-th image (default: 1)'
    )
    add_launch_arguments(parser)


def run(args: Namespace) -> None:
    from mmengine.dist import is_main_process

    from poa_mm.config import load_config
    from poa_mm.engine.weights_check import check_weights
    from poa_mm.evaluation.trained import make_record
    from poa_mm.launch import build_runner, open_data, prepare_processes
    from poa_mm.reporting.records import write_json

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    prepare_test(cfg, args.checkpoint, args.out, args.show_dir, args.show_interval)
    prepare_processes(cfg, args.local_rank)
    start = time.time()
    runner = build_runner(cfg)
    if Path(args.checkpoint).is_file():
        check_weights(getattr(runner.model, 'module', runner.model), args.checkpoint)
    open_data(runner, 'test')
    metrics = runner.test()
    if args.out and args.out.endswith('.json') and is_main_process():
        record = make_record(runner, args.checkpoint, metrics, time.time() - start)
        print(f'written to {write_json(args.out, record)}')
        print(record['summary'])


def prepare_test(
    cfg: Config, checkpoint: str, out: str | None, show_dir: str | Path | None, show_interval: int = 1
) -> None:
    """Set what is tested and where results go.

    Raises:
        UserError: The checkpoint does not exist.
        UserError: The config has nothing to test on.
    """
    if not (Path(checkpoint).is_file() or '://' in checkpoint):
        raise UserError(f'checkpoint {not_found(checkpoint)}')
    if not (cfg.get('test_dataloader') and cfg.get('test_evaluator')):
        raise UserError(f'{cfg.filename} has no test data and metric; pre-training is evaluated by poa knn')
    cfg.load_from, cfg.resume = checkpoint, False
    if show_dir:
        # In place of the toolbox's own hook: each has another layout of files, and cuts labels at the border.
        hooks = cfg.get('default_hooks', {})
        options = {key: value for key, value in hooks.get('visualization', {}).items() if key == 'score_thr'}
        options |= dict(type='poa_mm.ShowPredictionsHook', out_dir=str(show_dir), interval=show_interval)
        cfg.default_hooks = {**hooks, 'visualization': options}
    if out and out.endswith('.pkl'):
        metrics = cfg.test_evaluator
        metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        cfg.test_evaluator = [*metrics, dict(type='DumpResults', out_file_path=out)]
