"""The errors that command lines report as a sentence."""

from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """A mistake in a config, an argument or a file, in one sentence that names the value and what is allowed.

    Command lines print the sentence and exit with code 2. Every other exception is a bug or a failure of the machine
    and keeps its traceback.
    """


def not_found(path: str | Path) -> str:
    """The end of a sentence on a path that is not the file or the folder that is needed: what is there instead."""
    name = str(path)
    if not name or not Path(name).exists():
        return f'{name!r} does not exist'
    return f'{name!r} is a folder, not a file' if Path(name).is_dir() else f'{name!r} is a file, not a folder'


def listed(texts: Iterable[str], most: int, separator: str = ', ') -> str:
    """The first ``most`` of several texts, and how many more there are."""
    texts = list(texts)
    rest = len(texts) - most
    return separator.join(texts[:most]) + (f' and {rest} more' if rest > 0 else '')


class RunStopped(Exception):
    """A training run ends before its last step, by intent.

    Args:
        message: One sentence that says why and what to do.
        exit_code: Of the process, by which scripts and schedulers distinguish the cases.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


USER_ERROR = 2  # exit code: a mistake of the user, or a full disk
NON_FINITE = 3  # exit code: too many steps in a row were not finite
INTERRUPTED = 75  # exit code: a signal; EX_TEMPFAIL of sysexits.h, run again with --resume
