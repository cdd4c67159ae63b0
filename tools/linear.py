"""Compare sub-networks by linear classifiers on frozen features, a whole grid of settings at once."""

import argparse
import sys
from functools import partial
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from poa_mm.evaluation.command import add_arguments, run_command
    from poa_mm.evaluation.linear_protocol import run_linear
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, thumbnails=False)
    parser.add_argument('--iters', type=int, help='iterations (12500)')
    parser.add_argument('--train-batch-size', type=int, help='images of one iteration in each process (256)')
    parser.add_argument('--learning-rates', type=float, nargs='+', help="for a total batch of 256 (the paper's 13)")
    parser.add_argument(
        '--cached',
        action='store_true',
        default=None,
        help='compute the features of the centre crops once and keep them, in place of random crops',
    )
    parser.add_argument('--save', metavar='FILE.pth', help='file for the state and for the best classifiers')
    parser.add_argument('--save-interval', type=int, default=1000, help='iterations between two savings')
    parser.add_argument('--resume', action='store_true', help='go on from the file of --save where it exists')
    args = parser.parse_args()
    protocol = partial(run_linear, save=args.save, resume=args.resume, save_interval=args.save_interval)
    options = ('iters', 'train_batch_size', 'learning_rates', 'cached')
    run_command(parser, args, protocol, options)


if __name__ == '__main__':
    main()
