"""Test a trained classifier, detector or segmentor on the test data of its config."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from poa_mm.arguments import add_launch_arguments, result_file_ending
from poa_mm.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out',
        type=result_file_ending('.json', '.pkl'),
        metavar='FILE.json|FILE.pkl',
        help='write the metrics as a result file, or the predictions (default: print only)',
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw the prediction of every image into this folder (default: not drawn)'
    )
    add_launch_arguments(parser)


def run(args: Namespace) -> None:
    from mmengine.dist import is_main_process

    from poa_mm.config import load_config
    from poa_mm.engine.weights_check import check_weights
    from poa_mm.evaluation.trained import make_record
    from poa_mm.launch import build_runner, open_data, prepare_processes
    from poa_mm.reporting.records import write_json

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher, args.local_rank)
    prepare_test(cfg, args.checkpoint, args.out, args.show_dir)
    prepare_processes(cfg)
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


def prepare_test(cfg: Config, checkpoint: str, out: str | None, show_dir: str | None) -> None:
    """Set what is tested and where results go.

    Raises:
        UserError: The checkpoint does not exist.
        UserError: The config has nothing to test on, or cannot draw its predictions.
    """
    if not (Path(checkpoint).is_file() or '://' in checkpoint):
        raise UserError(f'checkpoint {checkpoint!r} does not exist')
    if not (cfg.get('test_dataloader') and cfg.get('test_evaluator')):
        raise UserError(f'{cfg.filename} has no test data and metric; pre-training is evaluated by poa knn')
    cfg.load_from, cfg.resume = checkpoint, False
    if show_dir:
        _draw_into(cfg, show_dir)
    if out and out.endswith('.pkl'):
        metrics = cfg.test_evaluator
        metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        cfg.test_evaluator = [*metrics, dict(type='DumpResults', out_file_path=out)]


def _draw_into(cfg: Config, folder: str) -> None:
    """Enable the visualization hook of the config's toolbox."""
    options = {
        'VisualizationHook': dict(enable=True, interval=1, out_dir=folder),  # mmpretrain's; every 5000th by default
        'DetVisualizationHook': dict(draw=True, test_out_dir=str(Path(folder).resolve())),
        'SegVisualizationHook': dict(draw=True),  # draws into the visualizer's own folder
    }
    hook = cfg.get('default_hooks', {}).get('visualization', {})
    kind = hook.get('type', '').rpartition('.')[2]
    if kind not in options:
        raise UserError(f'--show-dir needs default_hooks.visualization to be one of {list(options)}, got {kind!r}')
    hook.update(options[kind])
    cfg.visualizer.save_dir = folder
