"""Types of command-line arguments."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from tempfile import TemporaryFile


def positive(text: str) -> int:
    """A whole number of at least 1.

    Raises:
        ArgumentTypeError: It is not.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f'must be a whole number of at least 1, got {text!r}')
    return int(text)


def not_negative(text: str) -> int:
    """A whole number of at least 0.

    Raises:
        ArgumentTypeError: It is not.
    """
    if not text.isdecimal():
        raise ArgumentTypeError(f'must be a whole number of at least 0, got {text!r}')
    return int(text)


def result_folder(text: str) -> Path:
    """A folder for results; made and tried now, so that no measurement is lost for want of it.

    Raises:
        ArgumentTypeError: Nothing can be written there.
    """
    try:
        Path(text).mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=text).close()
    except OSError as error:
        raise ArgumentTypeError(f'cannot write into {text}: {error.strerror}') from error
    return Path(text)


def result_file(text: str) -> str:
    """A file for the result; its folder is made and tried now.

    Raises:
        ArgumentTypeError: It cannot be written.
    """
    if Path(text).is_dir():
        raise ArgumentTypeError(f'{text} is a folder')
    result_folder(str(Path(text).parent))
    return text
