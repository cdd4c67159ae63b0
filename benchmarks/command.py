"""How the benchmarks run as commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable


def run(parse: Callable[[list[str]], argparse.Namespace], command: Callable[[argparse.Namespace], int | None]) -> None:
    """Parses the command line, runs the command and exits; a user's mistake is one sentence and status 2.

    The process is set up as ``poa train`` sets up its own.

    Args:
        parse: From the arguments to a namespace; imports nothing that takes long.
        command: Called with the namespace, whose ``arguments`` is the parsed list; returns the exit status.
    """
    args = parse(sys.argv[1:])
    args.arguments = sys.argv[1:]
    from poa_mm.environment import set_environment
    from poa_mm.errors import UserError

    set_environment()
    try:
        sys.exit(command(args))
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
