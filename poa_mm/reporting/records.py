"""Result files of the evaluations."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mmengine
import torch

import poa_mm
from poa_mm.errors import UserError
from poa_mm.files import write_text


def versions(*toolboxes: str) -> dict[str, str]:
    """Versions of what took part in a measurement.

    Args:
        *toolboxes: Modules that are named too, if they were imported.
    """
    found = dict(
        poa_mm=poa_mm.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
    )
    for package in ('torchvision', 'numpy'):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = 'unknown'
    found.update({name: sys.modules[name].__version__ for name in toolboxes if name in sys.modules})
    return found


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write a result file; never leaves half of one."""
    return write_text(path, json.dumps(content, indent=1) + '\n')


def read_knn(path: str | Path) -> dict[str, Any]:
    """Read what ``tools/knn.py`` wrote.

    Raises:
        UserError: If there is no such file.
        UserError: If it is something else.
    """
    content = _read(path)
    if content is None or content['protocol']['name'] != 'knn':
        raise UserError(f'{path} is no result of tools/knn.py')
    return content


def read_results(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Read the result files of all protocols; of a folder those in it, at any depth, and no other file.

    A file that is named twice, or in a folder that is named too, is read once.

    Raises:
        UserError: If a file or folder does not exist.
        UserError: If a file is something else, or a folder has no result.
    """
    found = {}
    for path in map(Path, paths):
        files = sorted(path.rglob('*.json')) if path.is_dir() else [path]
        contents = {file.resolve(): content for file in files if (content := _read(file)) is not None}
        if not contents:
            raise UserError(f'{path} has no result files' if path.is_dir() else f'{path} is no result of a protocol')
        found.update(contents)
    return list(found.values())


def _read(path: str | Path) -> dict[str, Any] | None:
    """A result file; ``None`` for any other file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f'result file {str(path)!r} does not exist')
    try:
        content = json.loads(path.read_text())
        if isinstance(content['protocol']['name'], str) and isinstance(content['results'], list):
            return content
    except (ValueError, KeyError, TypeError):
        pass
    return None
