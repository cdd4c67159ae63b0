"""Test a checkpoint by config: classification, detection and segmentation alike."""

import argparse
import sys
import time
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from mmengine.config import Config
    from mmengine.dist import is_main_process
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from poa_mm.arguments import result_file
    from poa_mm.launch import add_launch_arguments, load_config, prepare_processes
    from poa_mm.reporting.records import write_json
    from poa_mm.reporting.trained import check_weights, make_record
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def parse_args() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', type=result_file, help='FILE.json for the result file, FILE.pkl for the predictions')
    parser.add_argument('--show-dir', help='draw the predictions into this folder')
    add_launch_arguments(parser)
    return parser, parser.parse_args()


def draw_into(cfg: Config, folder: str) -> None:
    """Switch the visualization hook of the config's toolbox on.

    Raises:
        ValueError: The config has no such hook.
    """
    options = {
        'VisualizationHook': dict(enable=True, out_dir=folder),  # mmpretrain
        'DetVisualizationHook': dict(draw=True, test_out_dir=str(Path(folder).resolve())),
        'SegVisualizationHook': dict(draw=True),  # draws into the visualizer's own folder
    }
    hook = cfg.get('default_hooks', {}).get('visualization', {})
    kind = hook.get('type', '').rpartition('.')[2]
    if kind not in options:
        raise ValueError(f'--show-dir needs default_hooks.visualization to be one of {list(options)}, got {kind!r}')
    hook.update(options[kind])
    cfg.visualizer.save_dir = folder


def set_up(args: argparse.Namespace) -> Config:
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher, args.local_rank)
    if not (Path(args.checkpoint).is_file() or '://' in args.checkpoint):
        raise FileNotFoundError(f'checkpoint {args.checkpoint!r} does not exist')
    if not (cfg.get('test_dataloader') and cfg.get('test_evaluator')):
        raise ValueError(f'{args.config} has no test data and metric; pre-training is judged by tools/knn.py')
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.show_dir:
        draw_into(cfg, args.show_dir)
    if args.out and not args.out.endswith(('.json', '.pkl')):
        raise ValueError(f'--out must end in .json or .pkl, got {args.out!r}')
    if args.out and args.out.endswith('.pkl'):
        metrics = cfg.test_evaluator
        metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        cfg.test_evaluator = [*metrics, dict(type='DumpResults', out_file_path=args.out)]
    prepare_processes(cfg)
    return cfg


def main() -> None:
    parser, args = parse_args()
    try:
        cfg = set_up(args)
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        parser.error(str(error))
    start = time.time()
    try:
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        if Path(args.checkpoint).is_file():
            check_weights(getattr(runner.model, 'module', runner.model), args.checkpoint)
        _ = runner.test_loop  # opens the data
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f'{args.config}: {error}')
    metrics = runner.test()
    if args.out and args.out.endswith('.json') and is_main_process():
        record = make_record(runner, args.checkpoint, metrics, time.time() - start)
        print(f'written to {write_json(args.out, record)}')
        print(record['summary'])


if __name__ == '__main__':
    main()
