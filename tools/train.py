"""Train by config: pre-training, classification, detection and segmentation alike."""

import argparse
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from poa_mm.launch import (
        add_launch_arguments,
        enable_amp,
        load_config,
        prepare_processes,
        set_resume,
    )
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def parse_args() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or without a value from the newest in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    add_launch_arguments(parser)
    return parser, parser.parse_args()


def main() -> None:
    parser, args = parse_args()
    try:
        cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher, args.local_rank)
        if args.amp:
            enable_amp(cfg)
        if args.resume:
            set_resume(cfg, args.resume)
        prepare_processes(cfg)
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        parser.error(str(error))
    runner = None
    try:
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        runner.train()
    except (ValueError, FileNotFoundError) as error:
        if runner is not None and runner.message_hub.log_scalars:
            raise  # training has begun: no mistake in the config
        sys.exit(f'{args.config}: {error}')


if __name__ == '__main__':
    main()
