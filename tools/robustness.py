"""Compare sub-networks on images with hidden patches and shuffled tiles, by k-NN or by trained classifiers."""

import argparse
import sys
from functools import partial
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from poa_mm.evaluation.command import add_arguments, run_command
    from poa_mm.evaluation.robustness import run_robustness
    from poa_mm.reporting.robustness_curves import plot_robustness
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, thumbnails=False)
    parser.add_argument('--classifiers', metavar='FILE.pth', help='what tools/linear.py --save wrote (default: k-NN)')
    parser.add_argument(
        '--trained', action='store_true', help='the files are classifiers that tools/train.py has fine-tuned'
    )
    parser.add_argument('--ratios', type=float, nargs='+', help='shares of hidden patches (0 0.1 ... 1)')
    parser.add_argument('--patches', type=int, help='patches along a side (14, or what cuts the crop evenly)')
    parser.add_argument('--grids', type=int, nargs='+', help='shuffled tiles along a side (all even cuts up to 14)')
    parser.add_argument('--k', type=int, help='number of neighbours (20)')
    parser.add_argument('--picture', metavar='FILE.png', help='the curves as a picture')
    parser.add_argument('--title', default='', help='above the picture')
    args = parser.parse_args()
    protocol = partial(run_robustness, classifiers=args.classifiers, trained=args.trained)
    record = run_command(parser, args, protocol, ('ratios', 'patches', 'grids', 'k'))
    if record is not None and args.picture:
        print(f'drawn to {plot_robustness(record["results"], args.picture, args.title)}')


if __name__ == '__main__':
    main()
