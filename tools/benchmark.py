"""Time, memory, split and operations of the training step of a pre-training config."""

import argparse
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import TrainingStep, benchmark, compare, compare_revision, describe, straggling
from poa_mm.arguments import CfgOptions, not_negative, positive, result_file
from poa_mm.launch import load_config
from poa_mm.reporting.records import write_json


def parse_args() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a pre-training')
    parser.add_argument('--steps', type=positive, default=10, help='steps that are timed')
    parser.add_argument('--warmup', type=not_negative, default=2, help='steps before that')
    parser.add_argument('--batch-size', type=positive, help="images of an iteration (the config's)")
    parser.add_argument('--amp', choices=['none', 'bfloat16', 'float16'], help="precision (the config's)")
    parser.add_argument('--subnet', default='typical', help="elastic student: a member, 'typical' or 'drawn'")
    parser.add_argument('--real-data', action='store_true', help="read the config's images, not random crops")
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    for name, of in [('--cfg-options', 'the config'), ('--compare-options', 'the config compared with')]:
        parser.add_argument(name, nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE', help=f'change {of}')
    one = parser.add_mutually_exclusive_group()
    one.add_argument('--compare', metavar='CONFIG', help='take turns with this config and print the ratio of times')
    one.add_argument('--against', metavar='REVISION', help='take turns with the step of another revision of git')
    one.add_argument('--straggling', type=positive, metavar='PROCESSES', help='only say how long processes wait')
    parser.add_argument('--out', type=result_file, help='JSON file for the result')
    args = parser.parse_args()
    if args.compare_options and (args.against or args.straggling):
        parser.error('--compare-options goes with --compare or alone, not with --against or --straggling')
    return parser, args


def measure(args: argparse.Namespace) -> tuple[dict, str]:
    """What was asked for, and what to print of it."""
    chosen = {name: getattr(args, name) for name in ('subnet', 'batch_size', 'real_data')}

    def build(path: str, options: dict) -> TrainingStep:
        return TrainingStep.from_config(path, options, args.device, args.amp, **chosen)

    ratio = '{median:.3f} ({min:.3f} to {max:.3f})'
    if args.straggling:
        result = straggling(load_config(args.config, args.cfg_options, None, 'none'), args.straggling)
        return result, '\n'.join(f'{name:45s}{value:.3f} of the intact network' for name, value in result.items())
    if args.against:
        how = dict(options=args.cfg_options, amp=args.amp, device=args.device, arguments=chosen)
        result = compare_revision(args.against, args.config, args.steps, args.warmup, **how)
        return result, f'working tree / {args.against}: ' + ratio.format(**result['ratio'])
    if args.compare or args.compare_options:
        options = {**({} if args.compare else args.cfg_options), **args.compare_options}
        steps = [build(args.config, args.cfg_options), build(args.compare or args.config, options)]
        result = compare(*steps, args.steps, args.warmup)
        return result, 'second / first: ' + ratio.format(**result['ratio'])
    result = benchmark(build(args.config, args.cfg_options), args.steps, args.warmup)
    return result, describe(result)


def main() -> None:
    parser, args = parse_args()
    try:
        result, text = measure(args)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        parser.error(str(error))
    print(text)
    if args.out:
        write_json(args.out, dict(arguments=vars(args), result=result))


if __name__ == '__main__':
    main()
