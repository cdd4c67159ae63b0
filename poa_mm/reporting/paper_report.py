"""Every figure of the paper beside the one measured here; figures without one of ours stay visible as missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from poa_mm.models.backbones import FAMILIES

from .paper import paper_name, paper_size, paper_tables
from .records import ResultRecord
from .tables import SCORES, markdown_table, number
from .trained_report import AS_SHARE, TRAINED

FULL = {'ViT': 'poa_vitl', 'Swin': 'poa_swinb', 'ResNet': 'poa_resnet152'}  # recipes by family of the paper's names
VITS = {'ViT-S': 'ViT-S/16', 'ViT-B': 'ViT-B/16', 'ViT-L': 'ViT-L/16'}
DINOV2 = {
    **{arch: f'dinov2_{name.lower().replace("-", "")}' for name, arch in VITS.items()},
    **{f'Swin-{size}/W7': f'dinov2_swin{size.lower()}' for size in 'TSB'},
}
SEED = {'ViT-S/16': 'seed_vitl_to_vits', 'ViT-B/16': 'seed_vitl_to_vitb'}  # 2400 epochs, the teacher's included
# Recipes of the rows of each ablation, in the order of the paper.
ABLATIONS = {
    'ablation_components': ('vitl_one_head', 'vitl_one_head_same_view_only', 'vitl_one_head_cross_view_only'),
    'ablation_variants': ('vitl_variant1', 'vitl_variant2', 'vitl_variant3'),
    'ablation_scale': ('vitl_unscaled',),
    'ablation_lambda': ('vitl_lambda06', 'vitl_lambda07', 'poa_vitl', 'vitl_lambda09'),
    'ablation_sampling': ('vitl_uniform_sampling', 'vitl_strength2', 'poa_vitl'),
    'ablation_candidates': ('vitl_42_candidates', 'vitl_20_candidates', 'vitl_16_candidates'),
}
# What a detector or segmentor of table 2 is and how long it is trained; others have no figure in the paper.
PUBLISHED_WITH = {'detection': dict(model='CascadeRCNN', max_epochs=36), 'segmentation': dict(max_iters=160_000)}
COLUMNS = ['recipe', 'network', 'measure', 'paper', 'ours', 'difference', 'measured on']


class Figure(NamedTuple):
    """One published figure.

    Args:
        table: Number of the table, or several.
        recipe: Name of the pre-training config that gives it.
        network: Name in the paper, or the cell of its table of all sub-networks.
        measure: ``'k-NN'``, ``'box AP'``, ``'semi 1%'``, ...
        value: Per cent or points.
    """

    table: str
    recipe: str
    network: str
    measure: str
    value: float


def paper_figures() -> Iterator[Figure]:
    """All published figures of the networks that a recipe of this project trains."""
    tables = paper_tables()
    for row in tables['imagenet']['rows']:
        recipe = FULL[row['arch'].partition('-')[0]]
        tuned = '8' if recipe == 'poa_vitl' else '10'
        yield Figure('1, 7', recipe, row['arch'], 'k-NN', row['knn'])
        yield Figure('1, 7', recipe, row['arch'], 'linear', row['linear'])
        yield Figure(tuned, recipe, row['arch'], 'fine-tuning', row['finetune'])
    for row in tables['imagenet_others']['rows']:
        if row['method'] == 'DINOv2':
            yield Figure('1, 7', DINOV2[row['arch']], row['arch'], 'k-NN', row['knn'])
            yield Figure('1, 7', DINOV2[row['arch']], row['arch'], 'linear', row['linear'])
    names = {'ap_box': 'box AP', 'ap_mask': 'mask AP', 'miou_linear': 'mIoU, linear', 'miou_upernet': 'mIoU, UPerNet'}
    for row in _own(tables['downstream']['rows']):
        yield from (Figure('2', 'poa_vitl', row['arch'], m, row[k]) for k, m in names.items() if row[k] is not None)
    for row in tables['distillation']['rows']:
        if row['method'] != 'POA':
            recipe = SEED[row['arch']] + ('_600' if row['total_epochs'] == 1200 else '')
            yield Figure('4', recipe, row['arch'], 'k-NN', row['knn'])
            yield Figure('4', recipe, row['arch'], 'linear', row['linear'])
    for row in _own(tables['semi_supervised']['rows']):
        recipe = FULL[row['arch'].partition('-')[0]]
        yield from (Figure('9', recipe, row['arch'], f'{part} of the labels', row[part]) for part in ('1%', '10%'))
    for row in _own(tables['unsupervised']['rows']):
        recipe = FULL[row['arch'].partition('-')[0]]
        yield from (Figure('11', recipe, row['arch'], score.upper(), row[score]) for score in SCORES)
    for row in tables['transfer']['rows']:
        pairs = zip(tables['transfer']['columns'], row['acc'])
        yield from (Figure('12', 'poa_vitl', row['arch'], dataset, value) for dataset, value in pairs)
    for name in ('knn_vit', 'knn_swin', 'knn_resnet'):
        yield from _all_networks(name)
    for name, recipes in ABLATIONS.items():
        yield from _ablation(name, recipes)


def _own(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row['method'] == 'POA']


def _all_networks(name: str) -> Iterator[Figure]:
    table = paper_tables()[name]
    rows, columns = (next(table[key] for key in table if key.startswith(side)) for side in ('rows', 'columns'))
    recipe = {'knn_vit': 'poa_vitl', 'knn_swin': 'poa_swinb', 'knn_resnet': 'poa_resnet152'}[name]
    for row, values in rows.items():
        for column, value in zip(columns, values):
            yield Figure(str(table['table']), recipe, f'{name} {row} {column}', 'k-NN', value)


def _ablation(name: str, recipes: Sequence[str]) -> Iterator[Figure]:
    """The rows of an ablation; those of the recipe itself are in table 1 already where they lead the table."""
    table = paper_tables()[name]
    rows = list(table['rows'].values()) if isinstance(table['rows'], dict) else [r['values'] for r in table['rows']]
    columns = table.get('columns') or paper_tables()['ablation_components']['columns']
    for recipe, values in zip(recipes, rows[len(rows) - len(recipes) :]):
        for column, value in zip(columns, values):
            measure, _, network = column.partition(' ')
            yield Figure(str(table['table']), recipe, VITS[network], measure.replace('knn', 'k-NN'), value)


def own_figures(contents: Sequence[ResultRecord]) -> dict[tuple[str, str, str], tuple[float, str]]:
    """Our figures and the data they were measured on, by recipe, network and measure; the latest of several."""
    found = {}
    for content in sorted(contents, key=lambda content: content['time']):
        data = content['data']['val']
        where = f'{data["source"]} ({data["images"]} images)'
        for result in content['results']:
            recipe = _recipe(content, result)
            if recipe is None or result['kind'] not in ('pretrained', 'extracted'):
                continue
            for measure, value in _measures(content, result).items():
                for network in _names(result):
                    found[recipe, network, measure] = value, where
    return found


def _recipe(content: ResultRecord, result: Mapping[str, Any]) -> str | None:
    """The config that pre-trained the network of a result, from the name of its run: ``CONFIG_DATE_TIME``."""
    sources = [content['pretrained']] if content.get('pretrained') else content.get('files') or []
    if 'file' in result:
        sources = [source for source in sources if source['file'] == result['file']]
    names = {str(source.get('experiment_name')) for source in sources}
    match = re.fullmatch(r'(.+)_\d{8}_\d{6}', names.pop()) if len(names) == 1 else None
    return match and match[1]


def _names(result: Mapping[str, Any]) -> list[str]:
    """The paper's name of a network, and its cell in the table of all sub-networks."""
    family = FAMILIES.get(result.get('family'))
    names = [paper_name(result)] if paper_name(result) else []
    if family and family.paper_table and 'width' in result:
        cell = family.paper_cell(*paper_size(result))
        names += [f'{family.paper_table} {cell[0]} {cell[1]}'] if cell else []
    return names


def _measures(content: ResultRecord, result: Mapping[str, Any]) -> dict[str, float]:
    protocol = content['protocol']
    name = protocol['name']
    if name in ('knn', 'linear'):
        return {'k-NN' if name == 'knn' else 'linear': result['best']}
    if name == 'cluster':
        return {score.upper(): result[score] for score in SCORES}
    if name not in TRAINED or 'metrics' not in result:
        return {}
    metrics = {
        column: result['metrics'][key] * (100 if column in AS_SHARE else 1)
        for column, key in TRAINED[name][1].items()
        if key in result['metrics']
    }
    if any(protocol.get(key) != value for key, value in PUBLISHED_WITH.get(name, {}).items()):
        return {}
    if name == 'detection':
        return metrics
    title = {
        'finetune': 'fine-tuning',
        'semi': protocol.get('fraction') and f'{100 * protocol["fraction"]:g}% of the labels',
        'transfer': protocol.get('dataset'),
        'segmentation': {'linear': 'mIoU, linear', 'UPerHead': 'mIoU, UPerNet'}.get(protocol.get('model')),
    }.get(name)
    return {title: next(iter(metrics.values()))} if title and metrics else {}


def paper_report(contents: Sequence[ResultRecord]) -> str:
    """A page with one table for every table of the paper.

    Args:
        contents: Of result files; what was measured with another recipe than those of the paper is not in it.
    """
    own = own_figures(contents)
    sections: dict[str, list[list[str]]] = {}
    there = total = 0
    for figure in paper_figures():
        value, where = own.get(figure[1:4], (None, ''))
        total, there = total + 1, there + (value is not None)
        network = figure.network.partition(' ')[2].replace(' ', ', ') or figure.network
        ours = ['missing', '', ''] if value is None else [number(value), f'{value - figure.value:+.2f}', where]
        sections.setdefault(figure.table, []).append(
            [figure.recipe, network, figure.measure, f'{figure.value:g}', *ours]
        )
    parts = [
        f'# The paper, figure by figure\n\n{there} of {total} published figures have one of ours. The paper: '
        'ImageNet-1K, COCO, ADE20K, and the data sets of table 12. A difference means something only on the same data.'
    ]
    for table in sorted(sections, key=lambda table: int(table.partition(',')[0])):
        title = f'## Table{"s" * ("," in table)} {table}'
        parts.append(f'{title}\n\n{markdown_table(COLUMNS, sections[table])}')
    return '\n\n'.join(parts) + '\n'
