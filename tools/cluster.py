"""Compare sub-networks by k-means on frozen features: do the clusters agree with the classes?"""

import argparse
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from poa_mm.evaluation.clustering import run_clustering
    from poa_mm.evaluation.command import add_arguments, run_command
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md; clustering also needs scikit-learn and scipy')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument('--clusters', type=int, help='number of clusters (that of the classes)')
    parser.add_argument('--restarts', type=int, help='of k-means, the best of which counts (10)')
    args = parser.parse_args()
    run_command(parser, args, run_clustering, ('clusters', 'restarts'))


if __name__ == '__main__':
    main()
