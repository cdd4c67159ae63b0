"""What the commands of the benchmarks share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable


def add_cfg_options(parser: argparse.ArgumentParser, name: str = '--cfg-options', text: str = 'changes') -> None:
    """Adds an option for changes to a config; :func:`run` turns its values into a dict."""
    parser.add_argument(name, nargs='+', type=_pair, default=[], metavar='KEY=VALUE', help=text)


def run(parse: Callable[[list[str]], argparse.Namespace], command: Callable[[argparse.Namespace], int | None]) -> None:
    """Parses the command line, runs the command and exits; a user's mistake is one sentence and status 2.

    Args:
        parse: From the arguments to a namespace; imports nothing that takes long.
        command: Gets the namespace, with ``arguments``, the list that it was parsed from; returns the exit status.
    """
    args = parse(sys.argv[1:])
    from mmengine.config import DictAction

    from poa_mm.errors import UserError

    for name, value in vars(args).items():
        if name.endswith('_options'):
            setattr(args, name, {key: DictAction._parse_iterable(text) for key, text in value})
    args.arguments = sys.argv[1:]
    try:
        sys.exit(command(args))
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition('=')
    if not (key and sign):
        raise argparse.ArgumentTypeError(f'must be KEY=VALUE, got {text!r}')
    return key, value
