"""Compare sub-networks by k-nearest-neighbour classification on frozen features."""

import argparse
import sys
import time
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from mmengine.dist import init_dist, is_distributed, is_main_process
    from torch import cuda

    from poa_mm.evaluation import knn_table, write_json
    from poa_mm.evaluation.protocol import run_knn
    from poa_mm.launch import CfgOptions, load_config, prepare_processes
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def parse_args() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='pre-training config')
    parser.add_argument('checkpoint', nargs='?', help='file that pre-training wrote')
    parser.add_argument(
        '--subnets',
        nargs='+',
        default=['named'],
        metavar='SUBNET',
        help="names (S), sizes (512x16), 'smallest', 'intact', 'named' (the default) or 'all'",
    )
    parser.add_argument('--branch', choices=['teacher', 'student'], default='teacher')
    parser.add_argument('--untrained', action='store_true', help='also with untrained weights')
    parser.add_argument('--thumbnails', action='store_true', help='also raw pixels, 8 x 8')
    data = parser.add_argument_group('data and protocol (default: what the config says)')
    data.add_argument('--train', metavar='DIR', help='gallery: one sub-folder of images per class')
    data.add_argument('--val', metavar='DIR', help='queries: likewise')
    data.add_argument('--k', type=int, nargs='+', dest='ks', help='numbers of neighbours (10 20 100 200)')
    data.add_argument('--resize', type=int, help='short side in pixels (8/7 of the crop)')
    data.add_argument('--crop', type=int, help='centre crop in pixels (size of the model: 224)')
    parser.add_argument('--batch-size', type=int, default=64, help='images at a time in each process')
    parser.add_argument('--workers', type=int, default=2, help='reading processes for each process')
    parser.add_argument('--amp', action='store_true', help='features in bfloat16')
    parser.add_argument('--seed', type=int, help="of the untrained weights (the config's)")
    parser.add_argument('--out', metavar='FILE.json', help='result file')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser, parser.parse_args()


def main() -> None:
    parser, args = parse_args()
    start = time.time()
    try:
        cfg = load_config(args.config, args.cfg_options, None, args.launcher, args.local_rank)
        prepare_processes(cfg)
        if args.launcher != 'none' and not is_distributed():
            init_dist(args.launcher, backend='nccl')
        options = {key: getattr(args, key) for key in ('train', 'val', 'ks', 'resize', 'crop')}
        record = run_knn(
            cfg,
            args.checkpoint,
            args.subnets,
            branch=args.branch,
            untrained=args.untrained,
            thumbnails=args.thumbnails,
            seed=args.seed,
            batch_size=args.batch_size,
            num_workers=args.workers,
            amp=args.amp,
            device=f'cuda:{cuda.current_device()}' if cuda.is_available() else 'cpu',
            options={key: value for key, value in options.items() if value is not None},
        )
    except (ValueError, OSError, ModuleNotFoundError) as error:
        parser.error(str(error))
    if is_main_process():
        record['seconds'] = round(time.time() - start, 1)
        print(knn_table(record['results'], record['protocol']['ks']))
        if args.out:
            print(f'written to {write_json(args.out, record)}')
        print(record['summary'])


if __name__ == '__main__':
    main()
