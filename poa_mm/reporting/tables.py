"""Results as Markdown tables: one builder for every protocol that compares networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .paper import paper_cluster, paper_knn, paper_linear
from .records import ResultRecord

# The two corruptions of the robustness protocol, and what their levels are.
CORRUPTIONS = {'occlusion': 'share of patches hidden', 'shuffling': 'tiles along a side, shuffled'}

NETWORK_COLUMNS = ['weights', 'network', 'width', 'depth', 'params, M']
SCORES = ('acc', 'ari', 'nmi', 'fmi')


def result_table(content: ResultRecord, paper: bool = False) -> str:
    """The networks of a result file as a Markdown table, aligned to be readable as plain text.

    Args:
        content: Of a file of a protocol in :data:`TABLES`.
        paper: Whether to add the paper's figures for networks of the same size.
    """
    return TABLES[content['protocol']['name']](content, paper)


def knn_table(content: ResultRecord, paper: bool) -> str:
    """Accuracy for each k, and the best."""
    ks = content['protocol']['ks']
    rows = [
        [*network_cells(r), *(number(r['accuracy'][str(k)]) for k in ks), number(r['best']), number(paper_knn(r))]
        for r in content['results']
    ]
    return _table([*(f'k = {k}' for k in ks), 'best, %'], ['paper, %'], rows, paper)


def linear_table(content: ResultRecord, paper: bool) -> str:
    """The best of each feature kind, and the best of all with its setting."""
    kinds = list(dict.fromkeys(kind for r in content['results'] for kind in r['accuracy']))
    rows = [
        [
            *network_cells(r),
            *(number(max(r['accuracy'][kind].values())) if kind in r['accuracy'] else '' for kind in kinds),
            number(r['best']),
            r['best_setting']['features'],
            f'{r["best_setting"]["learning_rate"]:g}',
            number(paper_linear(r)),
        ]
        for r in content['results']
    ]
    return _table([*kinds, 'best, %', 'features', 'lr'], ['paper, %'], rows, paper)


def cluster_table(content: ResultRecord, paper: bool) -> str:
    """The four scores."""
    rows = []
    for r in content['results']:
        theirs = paper_cluster(r) or {}
        rows.append([*network_cells(r), *(number(r[s]) for s in SCORES), *(number(theirs.get(s)) for s in SCORES)])
    return _table([s.upper() for s in SCORES], [f'paper {s.upper()}' for s in SCORES], rows, paper)


def robustness_tables(content: ResultRecord, paper: bool) -> str:
    """A table for each kind of corruption; the paper has curves but no numbers."""
    tables = []
    for kind, label in CORRUPTIONS.items():
        levels = list(content['results'][0][kind])
        rows = [[*network_cells(r), *(number(r[kind][level], 1) for level in levels)] for r in content['results']]
        tables.append(f'Accuracy, %, by {label}:\n\n{_table(levels, [], rows, paper)}')
    return '\n\n'.join(tables)


def backgrounds_table(content: ResultRecord, paper: bool) -> str:
    """Accuracy on each set of ImageNet-9, the background gap and the challenge; the paper has no figures of these."""
    sets = content['protocol']['sets']
    extra = {'bg_gap': 'BG gap', 'challenge': 'challenge'}
    extra = {key: title for key, title in extra.items() if any(key in r for r in content['results'])}
    rows = [
        [*network_cells(r), *(number(r['accuracy'][name]) for name in sets), *(number(r.get(key)) for key in extra)]
        for r in content['results']
    ]
    return _table([*sets, *extra.values()], [], rows, paper)


TABLES: dict[str, Callable[[ResultRecord, bool], str]] = {
    'knn': knn_table,
    'linear': linear_table,
    'cluster': cluster_table,
    'robustness': robustness_tables,
    'backgrounds': backgrounds_table,
}


def _table(ours: Sequence[str], papers: Sequence[str], rows: Iterable[Sequence[str]], paper: bool) -> str:
    """Rows of networks, the paper's figures last; :func:`markdown_table` drops cells without a column."""
    columns = [*NETWORK_COLUMNS, *ours, *papers]
    return markdown_table(columns if paper else columns[: len(columns) - len(papers)], rows)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned Markdown: columns of numbers to the right, the others to the left."""
    formatted = []
    for title, *cells in zip(columns, *rows):
        width = max(map(len, [title, *cells]))
        to_right = any(cells) and all(cell == '' or _is_number(cell) for cell in cells)
        rule = '-' * (width - 1) + (':' if to_right else '-')
        formatted.append([(cell.rjust if to_right else cell.ljust)(width) for cell in [title, rule, *cells]])
    return '\n'.join(f'| {" | ".join(line)} |' for line in zip(*formatted))


def _is_number(cell: str) -> bool:
    try:
        float(cell.rstrip(' %GiB'))
    except ValueError:
        return False
    return True


def network_cells(result: Mapping[str, Any]) -> list[str]:
    """The cells of a network under :data:`NETWORK_COLUMNS`."""
    width, depth = str(result.get('width', '')), depth_text(result.get('depth', ''))
    return [result['kind'], result['name'], width, depth, f'{result["params"] / 1e6:.2f}']


def depth_text(depth: Any) -> str:
    """``12``, or ``3-4-6-3`` where several stages are elastic."""
    return '-'.join(map(str, depth)) if isinstance(depth, (list, tuple)) else str(depth)


def number(value: float | None, digits: int = 2) -> str:
    """A cell; empty for ``None``."""
    return '' if value is None else f'{value:.{digits}f}'


def origin(content: ResultRecord, *parts: str) -> str:
    """The origin of a result, in brackets: ``parts``, then seed, time and versions."""
    versions = ', '.join(f'{package} {content["versions"][package]}' for package in ('poa_mm', 'torch'))
    said = [*parts, f'seed {content["seed_of_evaluation"]}', content['time'], versions]
    return f'({"; ".join(said)})'


def spans(results: list[dict]) -> str:
    """Lowest and highest ``best`` of each kind of network, for the summary."""
    parts = []
    for kind in dict.fromkeys(result['kind'] for result in results):
        found = [result['best'] for result in results if result['kind'] == kind]
        span = f'{min(found):.2f}' if len(found) == 1 else f'{min(found):.2f} to {max(found):.2f}'
        parts.append(f'{kind} {span} %' + (f' ({len(found)} networks)' if len(found) > 1 else ''))
    return ', '.join(parts)
