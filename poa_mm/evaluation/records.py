"""Result files and tables of the evaluations."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mmengine
import torch

import poa_mm
from poa_mm.files import write_atomically

NETWORK_COLUMNS = ['weights', 'network', 'width', 'depth', 'params, M']


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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1) + '\n'
    write_atomically(path, lambda temporary: temporary.write_text(text))
    return path


def read_knn(path: str | Path) -> dict[str, Any]:
    """Read what ``tools/knn.py`` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else.
    """
    content = _read(path)
    if content is None or content['protocol']['name'] != 'knn':
        raise ValueError(f'{path} is no result of tools/knn.py')
    return content


def read_results(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Read the result files of all protocols; of a folder those in it, at any depth, and no other file.

    A file that is named twice, or in a folder that is named too, is read once.

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If a file is something else, or a folder has no result.
    """
    found = {}
    for path in map(Path, paths):
        files = sorted(path.rglob('*.json')) if path.is_dir() else [path]
        contents = {file.resolve(): content for file in files if (content := _read(file)) is not None}
        if not contents:
            raise ValueError(f'{path} has no result files' if path.is_dir() else f'{path} is no result of a protocol')
        found.update(contents)
    return list(found.values())


def _read(path: str | Path) -> dict[str, Any] | None:
    """A result file; ``None`` for any other file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'result file {str(path)!r} does not exist')
    try:
        content = json.loads(path.read_text())
        if isinstance(content['protocol']['name'], str) and isinstance(content['results'], list):
            return content
    except (ValueError, KeyError, TypeError):
        pass
    return None


def best_of(accuracy: Mapping[int, float]) -> int:
    """The k of the highest accuracy; the smallest of several."""
    return max(sorted(accuracy), key=accuracy.__getitem__)


def knn_table(results: Iterable[Mapping[str, Any]], ks: Sequence[int]) -> str:
    """The results of a k-NN file as a Markdown table that is also readable as it is."""
    rows = [
        [
            *network_cells(result),
            *(f'{result["accuracy"][str(k)]:.2f}' for k in ks),
            f'{result["best"]:.2f} (k = {result["best_k"]})',
        ]
        for result in results
    ]
    columns = [*NETWORK_COLUMNS, *(f'k = {k}' for k in ks), 'best, %']
    return markdown_table(columns, rows)


def linear_table(results: Iterable[Mapping[str, Any]]) -> str:
    """The results of linear probing as a Markdown table: the best of every feature kind, and the best of all."""
    results = list(results)
    kinds = list(dict.fromkeys(kind for result in results for kind in result['accuracy']))
    rows = [
        [
            *network_cells(result),
            *(f'{max(result["accuracy"][k].values()):.2f}' if k in result['accuracy'] else '' for k in kinds),
            f'{result["best"]:.2f} ({result["best_setting"]["features"]}, '
            f'lr {result["best_setting"]["learning_rate"]:g})',
        ]
        for result in results
    ]
    return markdown_table([*NETWORK_COLUMNS, *kinds, 'best, %'], rows)


def cluster_table(results: Iterable[Mapping[str, Any]]) -> str:
    """The results of clustering as a Markdown table."""
    scores = ('acc', 'ari', 'nmi', 'fmi')
    rows = [[*network_cells(result), *(f'{result[score]:.2f}' for score in scores)] for result in results]
    return markdown_table([*NETWORK_COLUMNS, *(score.upper() for score in scores)], rows)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned Markdown: columns of numbers to the right, others to the left."""
    formatted = []
    for title, *cells in zip(columns, *rows):
        width = max(map(len, [title, *cells]))
        to_right = any(cells) and all(cell == '' or _is_number(cell) for cell in cells)
        rule = '-' * (width - 1) + (':' if to_right else '-')
        formatted.append([(cell.rjust if to_right else cell.ljust)(width) for cell in [title, rule, *cells]])
    return '\n'.join(f'| {" | ".join(line)} |' for line in zip(*formatted))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def network_cells(result: Mapping[str, Any]) -> list[str]:
    """What a table says of a network, under :data:`NETWORK_COLUMNS`."""
    width, depth = str(result.get('width', '')), depth_text(result.get('depth', ''))
    return [result['kind'], result['name'], width, depth, f'{result["params"] / 1e6:.2f}']


def depth_text(depth: Any) -> str:
    """``12``, or ``3-4-6-3`` where several stages are elastic."""
    return '-'.join(map(str, depth)) if isinstance(depth, (list, tuple)) else str(depth)
