"""Result files as one Markdown page, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from poa_mm.errors import UserError
from poa_mm.models.backbones import FAMILIES

from .paper import paper_tables
from .records import ResultRecord
from .tables import SCORES, depth_text, markdown_table, number, origin, result_table
from .trained_report import TRAINED, trained_section

TITLES = {
    'knn': 'k-NN',
    'linear': 'Linear probing',
    'cluster': 'Clustering (k-means)',
    'robustness': 'Robustness',
    'backgrounds': 'Backgrounds Challenge',
}


def report(contents: Sequence[ResultRecord]) -> str:
    """A page with a section for every protocol, and in it one table for every result file that compares networks.

    A result of ``poa test`` for one trained model is a row of its protocol's table. Each table or row names the data
    that our figures were measured on; the paper's figures, for networks of the same size, are for the data that the
    section names.

    Args:
        contents: Of result files.

    Raises:
        UserError: If a file is of an unknown protocol.
    """
    known = [*TITLES, *TRAINED]
    unknown = sorted({c['protocol']['name'] for c in contents} - set(known))
    if unknown:
        raise UserError(f'results of {", ".join(unknown)} cannot be reported: known are {", ".join(known)}')
    sections = []
    for name, title in TITLES.items():
        chosen = [content for content in contents if content['protocol']['name'] == name]
        if chosen:
            sections.append('\n\n'.join([f'## {title}', *map(_section, chosen), *_paper_tables(name, chosen)]))
    for name in TRAINED:
        chosen = [content for content in contents if content['protocol']['name'] == name]
        if chosen:
            sections.append(trained_section(name, chosen))
    return '\n\n'.join(['# Results', *sections]) + '\n'


def _section(content: ResultRecord) -> str:
    data, protocol = content['data'], content['protocol']
    settings = ', '.join(f'{k} {_short(v)}' for k, v in protocol.items() if k != 'name' and v is not None)
    unreadable = f'; {len(data["unreadable"])} unreadable' if data['unreadable'] else ''
    learned = ''
    if protocol['name'] != 'cluster' and not protocol.get('classifiers'):  # these see the validation images alone
        learned = f', learned from {data["train"]["images"]} of {data["train"]["source"]}'
    parts = [
        f'**Measured on {data["val"]["source"]}** ({data["val"]["images"]} images{learned}{unreadable}). '
        + ('The paper does not have this table.' if protocol['name'] == 'backgrounds' else 'The paper: ImageNet-1K.'),
        f'{content["summary"]} {_origin(content)}',
        f'Settings: {settings}.',
        result_table(content, paper=True),
    ]
    if protocol['name'] == 'knn':
        parts += _grids(content['results'])
    return '\n\n'.join(parts)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ' '.join(_short(item) for item in value)
    return f'{value:g}' if isinstance(value, float) else str(value)


def _origin(content: ResultRecord) -> str:
    parts = []
    if content.get('iteration') is not None:
        parts.append(f'iteration {content["iteration"]} of {content["checkpoint"]}')
    if content.get('seconds'):
        processes = '1 process' if content['processes'] == 1 else f'{content["processes"]} processes'
        parts.append(f'{content["seconds"]:.0f} s with {processes}')
    return origin(content, *parts)


def _grids(results: Sequence[ResultRecord]) -> list[str]:
    """Accuracy by depth and width, laid out as the paper's tables 13 to 15, where both were varied."""
    tables = []
    for kind in dict.fromkeys(result['kind'] for result in results):
        cells = {(r['width'], depth_text(r['depth'])): r['best'] for r in results if r['kind'] == kind and 'width' in r}
        widths = sorted({width for width, _ in cells})
        depths = list(dict.fromkeys(depth for _, depth in cells))
        if len(widths) > 1 and len(depths) > 1 and len(cells) > max(len(widths), len(depths)):
            rows = [[d, *(number(cells.get((w, d))) for w in widths)] for d in depths]
            table = markdown_table(['depth', *(f'width {w}' for w in widths)], rows)
            tables.append(f'Best k-NN accuracy of the {kind} networks, %, by depth and width:\n\n{table}')
    return tables


def _paper_tables(name: str, contents: Sequence[ResultRecord]) -> list[str]:
    """The paper's figures for the measured families, for networks of other sizes."""
    measured = {FAMILIES.get(r.get('family')) for c in contents for r in c['results']} - {None}
    archs = [arch for family in measured for arch in family.paper_names.values()]
    if name in ('knn', 'linear'):
        rows = [
            [r['arch'], str(r['params_m']), str(r[name])]
            for r in paper_tables()['imagenet']['rows']
            if r['arch'] in archs
        ]
        columns = ['network', 'params, M', 'accuracy, %']
    elif name == 'cluster':
        rows = [
            [r['arch'], r['method'], *(str(r[s]) for s in SCORES)]
            for r in paper_tables()['unsupervised']['rows']
            if r['arch'] in archs
        ]
        columns = ['network', 'method', *(s.upper() for s in SCORES)]
    else:
        rows, columns = [], []
    return [f'In the paper, on ImageNet-1K:\n\n{markdown_table(columns, rows)}'] if rows else []
