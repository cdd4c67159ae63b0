"""Compare sub-networks on images with hidden patches and shuffled tiles, by k-NN or by trained classifiers."""

from argparse import ArgumentParser, Namespace
from functools import partial

from poa_mm.arguments import result_file_ending

from .protocol import add_protocol_arguments, run_protocol


def add_arguments(parser: ArgumentParser) -> None:
    add_protocol_arguments(parser, thumbnails=False)
    parser.add_argument('--classifiers', metavar='FILE.pth', help='file written by poa linear --save (default: k-NN)')
    parser.add_argument(
        '--trained', action='store_true', help='the files are classifiers that poa train has fine-tuned'
    )
    parser.add_argument('--ratios', type=float, nargs='+', help='shares of hidden patches (default: 0 0.1 ... 1)')
    parser.add_argument(
        '--patches', type=int, help='patches along a side (default: 14, or what divides the crop evenly)'
    )
    parser.add_argument(
        '--grids',
        nargs='+',
        help='shuffled tiles: 4 along a side, or rows and columns as 2x4 (default: all even divisions up to 14)',
    )
    parser.add_argument('--k', type=int, help='number of neighbours (default: 20)')
    picture = result_file_ending('.png', '.pdf', '.svg')
    parser.add_argument(
        '--picture', type=picture, metavar='FILE.png', help='plot the curves into this file (default: no picture)'
    )
    parser.add_argument('--title', default='', help='title of the picture (default: none)')


def run(args: Namespace) -> None:
    from poa_mm.evaluation.robustness import run_robustness
    from poa_mm.reporting.robustness_curves import plot_robustness

    protocol = partial(run_robustness, classifiers=args.classifiers, trained=args.trained)
    record = run_protocol(args, protocol, ('ratios', 'patches', 'grids', 'k'))
    if record is not None and args.picture:
        images = record['data']['val']['images']
        print(f'drawn to {plot_robustness(record["results"], args.picture, args.title, record.get("classes"), images)}')
