"""Arguments of the commands that compare networks, and the run of their protocols."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from poa_mm.arguments import add_branch, add_cfg_options, add_launcher, add_subnets, result_file
from poa_mm.errors import UserError

if TYPE_CHECKING:
    from poa_mm.evaluation import EvalOptions

CONFIG = '(default: from the config)'


def seed(text: str) -> int:
    """A random seed, in the range of those of configs.

    Raises:
        ArgumentTypeError: It is not.
    """
    from poa_mm.config.value_check import RANGES  # imports MMEngine

    allowed, words = RANGES['seed']
    if not text.isdecimal() or not allowed(float(text)):  # an integer may be too large for a float
        raise ArgumentTypeError(f'must be {words}, got {text!r}')
    return int(text)


def add_protocol_arguments(parser: ArgumentParser, thumbnails: bool = True, val: bool = True) -> None:
    """Add the options for networks, data and computation.

    Args:
        parser: Of the command.
        thumbnails: Whether raw pixels can be compared too.
        val: Whether validation images can be named.
    """
    parser.add_argument(
        'files',
        nargs='+',
        metavar='CONFIG|FILE.pth',
        help='pre-training checkpoints and extracted networks, and at most one pre-training config or name of a recipe',
    )
    add_subnets(parser)
    add_branch(parser)
    parser.add_argument('--untrained', action='store_true', help='also evaluate untrained weights')
    if thumbnails:
        parser.add_argument('--thumbnails', action='store_true', help='also evaluate raw pixels, 8 x 8')
    data = parser.add_argument_group('data')
    data.add_argument('--train', metavar='DIR', help=f'training (gallery) images: one sub-folder per class {CONFIG}')
    if val:
        data.add_argument('--val', metavar='DIR', help=f'validation images, same layout {CONFIG}')
    data.add_argument('--resize', type=int, help='short side in pixels (default: 8/7 of the crop)')
    data.add_argument('--crop', type=int, help="centre crop in pixels (default: the model's input size)")
    data.add_argument('--interpolation', help='of the resize, bicubic or bilinear (default: bicubic)')
    parser.add_argument('--batch-size', type=int, default=64, help='images at a time in each process (default: 64)')
    parser.add_argument('--workers', type=int, default=2, help='data-loading workers of each process (default: 2)')
    parser.add_argument('--amp', action='store_true', help='mixed precision: features in bfloat16')
    parser.add_argument('--seed', type=seed, help="random seed (default: the config's, or 0)")
    parser.add_argument(
        '--out', type=result_file, metavar='FILE.json', help='write the result file (default: print only)'
    )
    add_cfg_options(parser)
    add_launcher(parser)


def read_arguments(args: Namespace, *options: str) -> EvalOptions:
    """Options of a protocol from parsed arguments; also starts the process group.

    Args:
        args: Of a parser with :func:`add_protocol_arguments`.
        *options: Names of the protocol's own arguments that are settings.

    Raises:
        UserError: If the config does not exist, or an option does not fit it.
        UserError: If the arguments cannot be combined.
    """
    from mmengine.config import Config
    from mmengine.dist import init_dist, is_distributed
    from torch import cuda

    from poa_mm.config import check_config, load_config
    from poa_mm.config.config_check import OTHER_SECTIONS
    from poa_mm.config.loading import merge_options
    from poa_mm.config.recipes import is_config
    from poa_mm.engine.precision import check_amp
    from poa_mm.evaluation.comparison import DATA_SETTINGS, EvalOptions
    from poa_mm.launch import prepare_processes

    if args.amp:
        check_amp('leave out --amp')
    configs = [file for file in args.files if is_config(file)]
    if len(configs) > 1:
        raise UserError(f'at most one config can be given, got {", ".join(configs)}')
    if configs:
        cfg = load_config(configs[0], args.cfg_options, None, args.launcher)
    else:
        cfg = Config()
        merge_options(cfg, args.cfg_options)
        if unread := cfg.keys() - set(OTHER_SECTIONS):
            raise UserError(
                f'--cfg-options {min(unread)} needs a config; those of {", ".join(OTHER_SECTIONS)} do without'
            )
        cfg.launcher = args.launcher
    check_config(cfg)
    prepare_processes(cfg, args.local_rank)
    if args.launcher != 'none' and not is_distributed():
        init_dist(args.launcher, backend='nccl')
    settings = {key: getattr(args, key, None) for key in (*DATA_SETTINGS, *options)}
    return EvalOptions(
        cfg=cfg,
        files=[file for file in args.files if file not in configs],
        subnets=args.subnets,
        branch=args.branch,
        untrained=args.untrained,
        thumbnails=getattr(args, 'thumbnails', False),
        seed=args.seed,
        batch_size=args.batch_size,
        num_workers=args.workers,
        amp=args.amp,
        device=f'cuda:{cuda.current_device()}' if cuda.is_available() else 'cpu',
        options={key: value for key, value in settings.items() if value is not None},
    )


def run_protocol(
    args: Namespace,
    protocol: Callable[[EvalOptions], dict[str, Any]],
    options: tuple[str, ...] = (),
) -> dict[str, Any] | None:
    """Run a protocol; print its table and its summary, and write its result file.

    Args:
        args: Of a parser with :func:`add_protocol_arguments`.
        protocol: From the options to the record of a result file.
        options: Names of the protocol's own arguments that are settings.

    Returns:
        The record; ``None`` in all processes but the first.
    """
    from mmengine.dist import is_main_process

    from poa_mm.reporting.records import write_json
    from poa_mm.reporting.tables import result_table

    start = time.time()
    record = protocol(read_arguments(args, *options))
    if not is_main_process():
        return None
    record['seconds'] = round(time.time() - start, 1)
    print(result_table(record))
    if args.out:
        print(f'written to {write_json(args.out, record)}')
    print(record['summary'])
    return record
