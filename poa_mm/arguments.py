"""Types, values and groups of command-line arguments; imports nothing heavy."""

from __future__ import annotations

import ast
import os
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

CONSTANTS = {'true': True, 'false': False}


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
    """A folder for results, created and tried now, so that no measurement is lost at its end.

    Raises:
        ArgumentTypeError: Nothing can be written there.
    """
    _existing_folder(text)
    try:
        Path(text).mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=text).close()
    except OSError as error:
        raise ArgumentTypeError(f'cannot write into {text}: {error.strerror}') from error
    return Path(text)


def work_dir(text: str) -> str:
    """A folder that exists or can be created; it is not, so that a mistake in the config leaves none behind.

    Raises:
        ArgumentTypeError: It is a file, or cannot be written.
    """
    existing = _existing_folder(text)
    if not os.access(existing, os.W_OK):
        raise ArgumentTypeError(f'cannot write into {text}: {existing} is a folder that cannot be written')
    return text


def _existing_folder(text: str) -> Path:
    """The part of a path that exists."""
    if not text:
        raise ArgumentTypeError("must be a path, got ''")
    place = Path(text).absolute()
    existing = next(path for path in (place, *place.parents) if path.exists())
    if not existing.is_dir():
        raise ArgumentTypeError(f'cannot write into {text}: {existing} is a file, not a folder')
    return existing


def result_file(text: str) -> str:
    """A file for the result; its folder is created and tried now.

    Raises:
        ArgumentTypeError: It cannot be written.
    """
    if text and Path(text).is_dir():
        raise ArgumentTypeError(f'{text} is a folder, not a file')
    result_folder(text and str(Path(text).parent))
    return text


def result_file_ending(*suffixes: str) -> Callable[[str], str]:
    """The type of a :func:`result_file` that has one of some suffixes."""

    def check(text: str) -> str:
        if not text.endswith(suffixes):
            raise ArgumentTypeError(f'must end in {" or ".join(suffixes)}, got {text!r}')
        return result_file(text)

    return check


class KeyValues(dict):
    """Values by dotted key.

    Attributes:
        texts: What was typed for each key.
    """

    def __init__(self, options: Mapping[str, Any] = {}) -> None:
        super().__init__(options)
        self.texts = dict(getattr(options, 'texts', {}))


class CfgOptions(Action):
    """``KEY=VALUE ...`` as :class:`KeyValues`; see :func:`parse_value`."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: list[str], option_string=None) -> None:
        options = KeyValues(getattr(namespace, self.dest) or {})
        for text in values:
            key, equals, value = text.partition('=')
            if not key or not equals:
                parser.error(f'{option_string} takes KEY=VALUE, got {text!r}')
            options[key], options.texts[key] = parse_value(value), value
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """The value of ``KEY=VALUE``, as MMEngine's ``DictAction`` reads it, plus dicts.

    Outer quotes are removed. Numbers, ``true``, ``false``, ``None``, ``a,b`` and ``[a,b]`` (lists), ``(a,b)``,
    ``{'k': v}`` and ``dict(k=v)``; all else is text, also ``2024_01``. Nothing is executed.
    """
    text = unquoted(text)
    if (number := _number(text)) is not None:
        return number
    if text.lower() in CONSTANTS:
        return CONSTANTS[text.lower()]
    try:
        node = ast.parse(text, mode='eval').body
    except (SyntaxError, ValueError):
        if ',' in text and not set('[](){}') & set(text):
            return [parse_value(part) for part in text.split(',') if part]
        return text
    if isinstance(node, ast.Tuple) and not text.startswith('('):
        node = ast.List(node.elts)
    return _value(node, text, text)


def unquoted(text: str) -> str:
    """A text without blanks and quotes around it."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '\'"' and text[0] not in text[1:-1]
    return text[1:-1] if quoted else text


def _number(text: str) -> int | float | None:
    for convert in (int, float):
        try:
            return None if '_' in text else convert(text)
        except ValueError:
            pass
    return None


def _value(node: ast.expr, source: str, text: str) -> Any:
    """The value of a literal; any other text unchanged."""

    def parse(child: ast.expr) -> Any:
        return _value(child, source, ast.get_source_segment(source, child))

    match node:
        case ast.Constant(value=str() | bool() | None):
            return node.value
        case ast.Constant() | ast.UnaryOp() if (number := _number(text)) is not None:
            return number
        case ast.List():
            return [parse(child) for child in node.elts]
        case ast.Tuple():
            return tuple(parse(child) for child in node.elts)
        case ast.Dict() if all(isinstance(key, ast.Constant | ast.Name | ast.Attribute) for key in node.keys):
            return {parse(key): parse(value) for key, value in zip(node.keys, node.values)}
        case ast.Call(func=ast.Name(id='dict'), args=[]) if all(keyword.arg for keyword in node.keywords):
            return {keyword.arg: parse(keyword.value) for keyword in node.keywords}
    return CONSTANTS.get(text.lower(), text)


def add_branch(parser: ArgumentParser) -> None:
    """Add ``--branch``: whose weights of a pre-training checkpoint."""
    text = 'of a checkpoint (default: teacher; student for SEED)'
    parser.add_argument('--branch', choices=['teacher', 'student'], help=text)


def add_subnets(parser: ArgumentParser) -> None:
    """Add ``--subnets``: members of a checkpoint's space, as :meth:`SubnetSpace.select` takes them."""
    parser.add_argument(
        '--subnets',
        nargs='+',
        default=['named'],
        metavar='SUBNET',
        help="of a checkpoint: names (S), sizes (512x16), 'smallest', 'intact', 'named' or 'all' (default: named)",
    )


def add_cfg_options(parser: ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        default=KeyValues(),
        metavar='KEY=VALUE',
        help='change the config: its variables (steps=100) and any key (model.backbone.depths="(12,18)")',
    )


def add_launcher(parser: ArgumentParser) -> None:
    """Add the options that a launcher of several processes passes."""
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='of several processes (default: none)'
    )
    # Older launchers pass the local rank as an argument, torchrun in the environment.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by launchers')


def add_launch_arguments(parser: ArgumentParser) -> None:
    """Add the options of every command that builds a runner."""
    parser.add_argument(
        '--work-dir', type=work_dir, help='folder for logs and checkpoints (default: work_dirs/CONFIG_NAME)'
    )
    add_cfg_options(parser)
    add_launcher(parser)
