"""Each speed-up of the step against the slow version that it replaced, in turn in one run, on the CPU."""

import argparse
import sys
from pathlib import Path

import torch

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import spread
from benchmarks.parts import PARTS, Differentiable
from benchmarks.report import time_in_turn
from poa_mm.arguments import positive, result_file
from poa_mm.reporting.records import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=positive, default=20, help='pairs of calls (20)')
    parser.add_argument('--only', default='', metavar='TEXT', help='changes whose name contains this')
    parser.add_argument('--small', action='store_true', help='sizes of milliseconds, to try the command')
    parser.add_argument('--out', type=result_file, help='JSON file for the result')
    args = parser.parse_args()
    parts = [part for part in PARTS if args.only in part.name]
    if not parts:
        parser.error(f'--only {args.only!r} is in none of: ' + '; '.join(part.name for part in PARTS))
    results = []
    print('| change | time, of the slow version | quartiles | kept for the backward pass |\n| --- | --- | --- | --- |')
    for part in parts:
        versions = part.versions(args.small)
        kept = None
        if isinstance(versions[0], Differentiable):
            slow, fast = (version.kept_bytes() for version in versions)
            kept = fast / slow
        time_in_turn(versions, min(args.rounds, 3), torch.device('cpu'))
        times = time_in_turn(versions, args.rounds, torch.device('cpu'))
        ratio = spread([b / a for a, b in zip(*times)])
        results.append(dict(change=part.name, ratio=ratio, seconds=[spread(t) for t in times], kept=kept))
        low, median, high = (ratio[name] for name in ('lower_quartile', 'median', 'upper_quartile'))
        kept = '' if kept is None else f'{kept:.2f}'
        print(f'| {part.name} | {median:.2f} | {low:.2f} to {high:.2f} | {kept} |', flush=True)
    if args.out:
        told = dict(rounds=args.rounds, threads=torch.get_num_threads(), torch=torch.__version__, results=results)
        write_json(args.out, told)


if __name__ == '__main__':
    main()
