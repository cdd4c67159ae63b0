"""Compare sub-networks by k-means on frozen features: do the clusters agree with the classes?"""

from argparse import ArgumentParser, Namespace

from .protocol import add_protocol_arguments, run_protocol


def add_arguments(parser: ArgumentParser) -> None:
    add_protocol_arguments(parser)
    parser.add_argument('--clusters', type=int, help='number of clusters (default: that of the classes)')
    parser.add_argument('--restarts', type=int, help='runs of k-means; the best is kept (default: 10)')
    parser.add_argument(
        '--raw',
        dest='normalize',
        action='store_false',
        default=None,
        help="features as they are, as in the authors' program (default: L2-normalised)",
    )


def run(args: Namespace) -> None:
    from poa_mm.evaluation.clustering import run_clustering

    run_protocol(args, run_clustering, ('clusters', 'restarts', 'normalize'))
