"""Everything to be measured on one GPU: the paper's three networks, each with the largest batch that fits."""

import argparse
import sys
import time
from pathlib import Path

import torch

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import describe, release_memory
from benchmarks.gpu import CONFIGS, measure, table
from poa_mm.arguments import CfgOptions, positive, result_folder
from poa_mm.reporting.records import write_json

CONFIG_FOLDER = Path(__file__).resolve().parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--networks', nargs='+', choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument('--steps', type=positive, default=10, help='steps that are timed')
    parser.add_argument('--limit', type=positive, default=4096, help='images of the largest batch that is tried')
    parser.add_argument('--batch-size', type=positive, help='images of a step, instead of the largest batch that fits')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE')
    parser.add_argument('--tiny', action='store_true', help='tiny networks on the CPU, to try the command')
    parser.add_argument(
        '--out', type=result_folder, default='work_dirs/benchmark_gpu', help='folder for JSON and table'
    )
    args = parser.parse_args()
    if not (args.tiny or torch.cuda.is_available()):
        parser.error('there is no GPU; --tiny tries the command on the CPU')
    return args


def main() -> None:
    args = parse_args()
    results, failed, start = [], {}, time.perf_counter()

    def tell(text: str) -> None:
        print(f'[{time.perf_counter() - start:.0f} s] {text}', flush=True)

    for name in args.networks:
        tell(name)
        try:
            options = (args.steps, args.limit, args.batch_size, args.tiny, args.cfg_options, tell)
            results.append(measure(name, CONFIG_FOLDER, *options))
            tell(describe(results[-1]))
        except Exception as error:  # the others are worth having, whatever it was
            failed[name] = f'{type(error).__name__}: {error}'
            tell(f'failed: {failed[name]}')
        # After each, for a run that is killed.
        write_json(args.out / 'benchmark_gpu.json', dict(results=results, failed=failed, cfg_options=args.cfg_options))
        (args.out / 'benchmark_gpu.md').write_text(table(results) + '\n')
        release_memory()
    print(table(results))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
