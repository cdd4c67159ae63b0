"""Results of trained classifiers, detectors and segmentors as tables: one row per run, beside the paper's figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .paper import paper_downstream, paper_finetune, paper_semi, paper_transfer
from .records import ResultRecord
from .tables import NETWORK_COLUMNS, markdown_table, network_cells, number, origin

# Title, metrics (column and names in the toolboxes' logs), and what the paper's figures were measured on.
TRAINED = {
    'finetune': ('Fine-tuning', {'top-1, %': 'accuracy/top1'}, 'ImageNet-1K'),
    'semi': ('Few labels', {'top-1, %': 'accuracy/top1'}, 'ImageNet-1K with 1 % or 10 % of its labels'),
    'transfer': ('Transfer', {'top-1, %': 'accuracy/top1'}, 'the data set of the row'),
    'detection': (
        'Detection and instance segmentation',
        {'box AP': 'coco/bbox_mAP', 'mask AP': 'coco/segm_mAP'},
        'COCO, Cascade Mask R-CNN, 36 epochs',
    ),
    'segmentation': ('Semantic segmentation', {'mIoU': 'mIoU'}, 'ADE20K, UPerNet or linear, 160k iterations'),
    'test': ('Other tests', {}, ''),
}
AS_SHARE = ('box AP', 'mask AP')  # mmdet gives 0 to 1, the paper per cent


def trained_section(name: str, contents: Sequence[ResultRecord]) -> str:
    """One table with all runs of a protocol; each row names the data that it was measured on."""
    title, metrics, where = TRAINED[name]
    metrics = metrics or {key: key for c in contents for key in c['results'][0]['metrics']}
    papers = [f'paper {column}' for column in metrics] if where else []
    columns = [*NETWORK_COLUMNS, 'measured on', 'settings', *metrics, *papers]
    table = markdown_table(columns, [_row(name, content, metrics, bool(papers)) for content in contents])
    note = f'The paper: {where}. A figure of ours is comparable with it only where it was measured on the same.'
    origins = '\n'.join(f'- {content["summary"]} {_origin(content)}' for content in contents)
    return '\n\n'.join([f'## {title}', *([note] if where else []), table, origins])


def _row(name: str, content: ResultRecord, metrics: Mapping[str, str], with_paper: bool) -> list[str]:
    (result,) = content['results']
    data, found = content['data']['val'], result['metrics']
    settings = ', '.join(f'{k} {v}' for k, v in content['protocol'].items() if k != 'name' and v is not None)
    cells = [*network_cells(result), f'{data["source"]} ({data["images"]} images)', settings]
    for column, key in metrics.items():
        value = None if found.get(key) is None else found[key] * (100 if column in AS_SHARE else 1)
        cells.append(number(value))
    paper = _paper(name, content['protocol'], result) if with_paper else {}
    return [*cells, *(number(paper.get(column), 1) for column in metrics if with_paper)]


def _paper(name: str, protocol: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float | None]:
    """The paper's figures by column for a network of the same size; none for one trained from scratch."""
    if result['kind'] != 'pretrained':
        return {}
    if name == 'finetune':
        return {'top-1, %': paper_finetune(result)}
    if name == 'semi':
        return {'top-1, %': paper_semi(result, protocol.get('fraction'))}
    if name == 'transfer':
        return {'top-1, %': paper_transfer(result, protocol['dataset'])}
    row = paper_downstream(result) or {}
    if name == 'detection':
        return {'box AP': row.get('ap_box'), 'mask AP': row.get('ap_mask')}
    return {'mIoU': row.get('miou_linear' if protocol['model'] == 'linear' else 'miou_upernet')}


def _origin(content: ResultRecord) -> str:
    start = content['pretrained'] or {}
    parts = [f'config {content["config"]}']
    if start:
        source = ''.join(f', {key} {start[key]}' for key in ('checkpoint', 'branch', 'iteration') if key in start)
        parts.append(f'started from {start["file"]}{source}')
    return origin(content, *parts, f'trained on {content["data"]["train"]["source"]}')
