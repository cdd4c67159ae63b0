"""Result files: written by the commands that evaluate, read by reports."""

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

from poa_mm.errors import UserError, not_found
from poa_mm.files import write_text
from poa_mm.version import __version__

ResultRecord = Mapping[str, Any]  # the content of a result file


def versions(*toolboxes: str) -> dict[str, str]:
    """Versions of the packages that take part in a measurement.

    Args:
        *toolboxes: Further modules, included if they have been imported.
    """
    found = dict(
        poa_mm=__version__,
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


def write_json(path: str | Path, content: ResultRecord) -> Path:
    """Write a result file, completely or not at all."""
    return write_text(path, json.dumps(content, indent=1) + '\n')


def read_knn(path: str | Path) -> dict[str, Any]:
    """Read a result file of ``poa knn``.

    Raises:
        UserError: If the file does not exist or is something else.
    """
    content = _read(path)
    if content is None or content['protocol']['name'] != 'knn' or not all(map(_has_accuracy, content['results'])):
        raise UserError(f'{path} is not a result of poa knn')
    return content


def read_results(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Read result files of all protocols; of a folder all that are in it, at any depth. Each file is read once.

    Raises:
        UserError: If a file or folder does not exist, a file is something else, or a folder has no result files.
    """
    found = {}
    for path in map(Path, paths):
        files = sorted(path.rglob('*.json')) if path.is_dir() else [path]
        contents = {file.resolve(): content for file in files if (content := _read(file)) is not None}
        if not contents:
            raise UserError(f'{path} has no result files' if path.is_dir() else f'{path} is not a result of a protocol')
        found.update(contents)
    return list(found.values())


def _read(path: str | Path) -> dict[str, Any] | None:
    """A result file; ``None`` for any other file."""
    if not Path(path).is_file():
        raise UserError(f'result file {not_found(path)}')
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError:  # neither JSON nor text
        return None
    match content:
        case {
            'protocol': {'name': str()},
            'data': {'val': {'source': str(), 'images': int()}},
            'results': list(results),
        }:
            return content if all(isinstance(r, dict) and isinstance(r.get('kind'), str) for r in results) else None
    return None


def _has_accuracy(result: Mapping[str, Any]) -> bool:
    return isinstance(result.get('accuracy'), dict) and isinstance(result.get('best'), int | float)
