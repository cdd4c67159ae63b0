"""Time, memory, split and operations of the training step of a pre-training config."""

import argparse
import json
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.config import Config

from poa_mm.benchmark import TrainingStep, benchmark, compare, compare_revision, describe, slowest
from poa_mm.elastic import SubnetSampler
from poa_mm.launch import CfgOptions, load_config
from poa_mm.registry import MODELS


def parse_args() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a pre-training')
    parser.add_argument('--steps', type=int, default=10, help='steps that are timed')
    parser.add_argument('--warmup', type=int, default=2, help='steps before that')
    parser.add_argument('--batch-size', type=int, help="images of an iteration (the config's)")
    parser.add_argument('--amp', choices=['none', 'bfloat16', 'float16'], help="precision (the config's)")
    parser.add_argument('--subnet', default='typical', help="elastic student: a member, 'typical' or 'drawn'")
    parser.add_argument('--real-data', action='store_true', help="read the config's images, not random crops")
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    for name, of in [('--cfg-options', 'the config'), ('--compare-options', 'the config compared with')]:
        parser.add_argument(name, nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE', help=f'change {of}')
    parser.add_argument('--compare', metavar='CONFIG', help='take turns with this config and print the ratio of times')
    parser.add_argument('--against', metavar='REVISION', help='take turns with the step of another revision of git')
    parser.add_argument('--straggling', type=int, metavar='PROCESSES', help='only say how long processes wait')
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    return parser, parser.parse_args()


def build(args: argparse.Namespace, path: str, options: dict) -> TrainingStep:
    cfg = load_config(path, options, None, 'none')
    if args.amp:
        cfg.optim_wrapper.amp_dtype = None if args.amp == 'none' else args.amp
    torch.backends.cudnn.benchmark = cfg.get('env_cfg', {}).get('cudnn_benchmark', False)
    return TrainingStep(cfg, torch.device(args.device), args.subnet, args.batch_size, args.real_data)


def straggling(cfg: Config, processes: int) -> dict:
    space = MODELS.build(cfg.model.backbone).space
    options = {**cfg.model.get('sampler', {})}
    options.pop('mode', None)
    variants = [dict(mode='per_rank'), dict(mode='shared')]
    variants += [dict(mode='by_cost', cost_classes=n) for n in (4, 8, 16)]
    return {str(v): slowest(SubnetSampler(space, **{**options, **v}), processes) for v in variants}


def main() -> None:
    parser, args = parse_args()
    try:
        if args.straggling:
            result = straggling(load_config(args.config, args.cfg_options, None, 'none'), args.straggling)
            text = '\n'.join(f'{name:45s}{value:.3f} of the intact network' for name, value in result.items())
        elif args.against:
            names = ('subnet', 'batch_size', 'real_data')
            result = compare_revision(
                args.against,
                args.config,
                args.steps,
                args.warmup,
                options=args.cfg_options,
                amp=args.amp,
                device=args.device,
                arguments={name: getattr(args, name) for name in names},
            )
            text = f'working tree / {args.against}: ' + '{median:.3f} ({min:.3f} to {max:.3f})'.format(
                **result['ratio']
            )
        elif args.compare or args.compare_options:
            options = {**({} if args.compare else args.cfg_options), **args.compare_options}
            steps = [build(args, args.config, args.cfg_options), build(args, args.compare or args.config, options)]
            result = compare(*steps, args.steps, args.warmup)
            text = 'second / first: {median:.3f} ({min:.3f} to {max:.3f})'.format(**result['ratio'])
        else:
            result = benchmark(build(args, args.config, args.cfg_options), args.steps, args.warmup)
            text = describe(result)
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        parser.error(str(error))
    print(text)
    if args.out:
        args.out.write_text(json.dumps(dict(arguments=vars(args), result=result), indent=1, default=str) + '\n')


if __name__ == '__main__':
    main()
