"""Compare sub-networks by linear classifiers on frozen features, a whole grid of settings at once."""

from argparse import ArgumentParser, Namespace
from functools import partial

from poa_mm.arguments import result_file_ending

from .protocol import add_protocol_arguments, run_protocol


def add_arguments(parser: ArgumentParser) -> None:
    add_protocol_arguments(parser, thumbnails=False)
    parser.add_argument('--iters', type=int, help='iterations (default: 12500)')
    parser.add_argument('--total-batch', type=int, help='images of one iteration, over all processes (default: 2048)')
    kinds = "last (class token), all, 'last + mean patch', 'all + mean patch'"
    parser.add_argument(
        '--features', nargs='+', metavar='KIND', help=f'kinds of features: {kinds} (default: all kinds)'
    )
    parser.add_argument(
        '--learning-rates', type=float, nargs='+', help="for a total batch of 256 (default: the paper's 13)"
    )
    parser.add_argument(
        '--cached',
        action='store_true',
        default=None,
        help='compute the features of the centre crops once and keep them, instead of random crops',
    )
    parser.add_argument(
        '--save',
        type=result_file_ending('.pth'),
        metavar='FILE.pth',
        help='file for the state and for the best classifiers (default: not kept)',
    )
    parser.add_argument('--save-interval', type=int, default=1000, help='iterations between two saves (default: 1000)')
    parser.add_argument('--resume', action='store_true', help='continue from the file of --save if it exists')


def run(args: Namespace) -> None:
    from poa_mm.evaluation.linear_protocol import run_linear

    protocol = partial(run_linear, save=args.save, resume=args.resume, save_interval=args.save_interval)
    run_protocol(args, protocol, ('iters', 'total_batch', 'learning_rates', 'features', 'cached'))
