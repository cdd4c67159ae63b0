"""Compare sub-networks by k-nearest-neighbour classification on frozen features."""

import argparse
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from poa_mm.evaluation.command import add_arguments, run_command
    from poa_mm.evaluation.knn_protocol import run_knn
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument('--k', type=int, nargs='+', dest='ks', help='numbers of neighbours (10 20 100 200)')
    parser.add_argument('--at-a-time', type=int, metavar='N', help='networks that share a reading of the data (all)')
    args = parser.parse_args()
    run_command(parser, args, run_knn, ('ks', 'at_a_time'))


if __name__ == '__main__':
    main()
