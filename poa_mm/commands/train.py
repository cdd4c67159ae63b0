"""Train from a config: pre-training, classification, detection or segmentation."""

from argparse import ArgumentParser, Namespace

from poa_mm.arguments import add_launch_arguments
from poa_mm.environment import set_environment
from poa_mm.errors import UserError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('config', help='config: a file or the name of a recipe')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from this checkpoint; without a value from the newest in the work dir (default: start anew)',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: bfloat16, or float16 with loss scaling where MMEngine drives a GPU',
    )
    parser.add_argument(
        '--vis',
        nargs='+',
        default=[],
        choices=['tensorboard', 'wandb'],
        help='where curves and pictures also go (default: files)',
    )
    add_launch_arguments(parser)


def run(args: Namespace) -> None:
    import logging

    set_environment()  # before PyTorch is imported, which reads it
    from poa_mm.config import check_config, load_config
    from poa_mm.engine.interrupt import catch_signals
    from poa_mm.engine.precision import check_amp
    from poa_mm.launch import build_runner, enable_amp, open_data, prepare_processes, set_resume
    from poa_mm.launch.runner import TRAINING

    logging.raiseExceptions = False  # a full disk is reported once, not by each line of the log
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    check_config(cfg)
    if lacking := [name for name in TRAINING if not cfg.get(name)]:
        raise UserError(f'{args.config} cannot be trained: it lacks {", ".join(lacking)}')
    if args.vis:
        from poa_mm.visualization.backends import add_backends

        add_backends(cfg, args.vis)
    if args.amp:
        check_amp('leave out --amp')
        enable_amp(cfg)
    if args.resume:
        set_resume(cfg, args.resume)
    prepare_processes(cfg, args.local_rank)
    catch_signals()  # before worker processes start
    runner = build_runner(cfg)
    open_data(runner, 'train', 'val')
    runner.train()
