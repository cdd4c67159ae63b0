"""Compare sub-networks by k-nearest-neighbour classification on frozen features."""

from argparse import ArgumentParser, Namespace

from poa_mm.arguments import positive

from .protocol import add_protocol_arguments, run_protocol


def add_arguments(parser: ArgumentParser) -> None:
    add_protocol_arguments(parser)
    parser.add_argument(
        '--k',
        type=int,
        nargs='+',
        dest='ks',
        help='numbers of neighbours (default: 10 20 100 200, at most the gallery)',
    )
    parser.add_argument(
        '--at-a-time', type=positive, metavar='N', help='networks evaluated in one pass over the data (default: all)'
    )


def run(args: Namespace) -> None:
    from poa_mm.evaluation.knn_protocol import run_knn

    run_protocol(args, run_knn, ('ks', 'at_a_time'))
