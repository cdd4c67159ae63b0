"""Parses the command line, runs the command, and reports mistakes of the user as one sentence."""

from __future__ import annotations

import errno
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from poa_mm.compat import DISTRIBUTIONS
from poa_mm.errors import USER_ERROR, RunStopped, UserError
from poa_mm.version import __version__

COMMANDS = (
    'train',
    'plan',
    'test',
    'extract',
    'import',
    'knn',
    'linear',
    'cluster',
    'robustness',
    'backgrounds',
    'report',
    'select',
    'visualize',
    'curves',
    'compare',
    'study',
    'replay',
)
# The disk, the user's share of it, or the largest allowed file.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MODULES = {'import': 'import_weights'}  # whose name is not a Python name


def build_parser() -> ArgumentParser:
    """Return the parser of all commands; ``args.run`` is the function of the chosen one."""
    parser = ArgumentParser(
        'poa', description='Pre-training once for models of all sizes, for OpenMMLab.', allow_abbrev=False
    )
    parser.add_argument('--version', action='version', version=f'poa_mm {__version__}')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name in COMMANDS:
        module = import_module(f'poa_mm.commands.{MODULES.get(name, name)}')
        command = commands.add_parser(
            name, help=module.__doc__.splitlines()[0], description=module.__doc__, allow_abbrev=False
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    One sentence and exit code 2 end the program after a :class:`UserError`, a config that MMEngine's registries refuse,
    a missing package or a full disk; a :class:`RunStopped` ends it with one sentence and its own code. Every other
    exception is a bug or a failure of the machine and keeps its traceback.

    Args:
        arguments: Of the command line, the name of the command first; default: those of this process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    args = build_parser().parse_args(given)
    if '' in given:  # which Python takes for the current folder
        _stop(args.command, "an argument is empty, '': is a variable of the shell not set?")
    try:
        args.run(args)
    except UserError as error:
        _stop(args.command, str(error))
    except RunStopped as stop:
        print(f'poa {args.command}: {stop}', file=sys.stderr)
        sys.exit(stop.exit_code)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        _stop(args.command, f'cannot write{f" {error.filename}" if error.filename else ""}: {error.strerror}')
    except (KeyError, TypeError) as error:
        if not _raised_by_registry(error):
            raise
        _stop(args.command, f'the config cannot be built: {" ".join(str(error.args[0]).split())}')
    except ModuleNotFoundError as error:
        package = (error.name or '').partition('.')[0]
        if package not in DISTRIBUTIONS:
            raise
        _stop(
            args.command,
            f'{package} is not installed: pip install {DISTRIBUTIONS[package]} '
            '(or pip install poa_mm[openmmlab] for all of OpenMMLab; see docs/install.md)',
        )


def _raised_by_registry(error: Exception) -> bool:
    """Whether MMEngine raised it while it looked up a type or passed the arguments, not something that it called."""
    frame = error.__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    return frame.tb_frame.f_globals.get('__name__') == 'mmengine.registry.build_functions'


def _stop(command: str, sentence: str) -> None:
    if int(os.environ.get('RANK') or os.environ.get('SLURM_PROCID') or 0) > 0:
        time.sleep(3)  # a mistake that all processes find is reported by the first, and the launcher ends the others
    print(f'poa {command}: error: {sentence}', file=sys.stderr)
    sys.exit(USER_ERROR)
