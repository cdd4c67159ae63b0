"""Compare sub-networks on ImageNet-9, the Backgrounds Challenge, by k-NN or by trained classifiers."""

from argparse import ArgumentParser, Namespace
from functools import partial

from poa_mm.arguments import not_negative

from .protocol import add_protocol_arguments, run_protocol


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    add_protocol_arguments(parser, thumbnails=False, val=False)
    parser.add_argument(
        '--data',
        required=True,
        metavar='DIR',
        help='the published folder: original/val, ..., fg_mask/val',
    )
    parser.add_argument('--classifiers', metavar='FILE.pth', help='file written by poa linear --save (default: k-NN)')
    parser.add_argument(
        '--trained', action='store_true', help='the files are classifiers that poa train has fine-tuned'
    )
    parser.add_argument('--k', type=int, help='number of neighbours (default: 20)')
    parser.add_argument(
        '--backgrounds',
        type=not_negative,
        metavar='N',
        help='of the adversarial challenge, evenly spaced (default: all; 0 leaves the challenge out)',
    )


def run(args: Namespace) -> None:
    """Print and write the accuracies.

    Raises:
        UserError: If a file or the data are missing or do not belong together, or a setting makes no sense.
    """
    from poa_mm.evaluation.backgrounds import run_backgrounds

    protocol = partial(run_backgrounds, data=args.data, classifiers=args.classifiers, trained=args.trained)
    run_protocol(args, protocol, ('k', 'backgrounds'))
