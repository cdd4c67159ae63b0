"""The paper's figures for a network that was measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

FAMILIES = {'VisionTransformer': 'vit', 'SwinTransformer': 'swin', 'ResNet': 'resnet'}
NAMES = {
    'vit': {(384, 12): 'ViT-S/16', (768, 12): 'ViT-B/16', (1024, 24): 'ViT-L/16'},
    'swin': {(96, 6): 'Swin-T/W7', (96, 18): 'Swin-S/W7', (128, 18): 'Swin-B/W7'},
    'resnet': {(64, (3, 4, 6, 3)): 'ResNet-50', (64, (3, 4, 23, 3)): 'ResNet-101', (64, (3, 8, 36, 3)): 'ResNet-152'},
}


@lru_cache
def paper_tables() -> dict[str, Any]:
    """All tables, as the file ``poa_mm/reference/paper_tables.json`` has them."""
    return json.loads(files('poa_mm.reference').joinpath('paper_tables.json').read_text())


def paper_name(result: Mapping[str, Any]) -> str | None:
    """What the paper calls the network of a result entry; ``None`` where it has no name there."""
    family = FAMILIES.get(result.get('family'))
    return NAMES[family].get(_size(result)) if family and 'width' in result else None


def paper_knn(result: Mapping[str, Any]) -> float | None:
    """k-NN accuracy on ImageNet-1K of the sub-network of this size (POA, tables 13 to 15)."""
    family = FAMILIES.get(result.get('family'))
    if family is None or 'width' not in result:
        return None
    width, depth = _size(result)
    table = paper_tables()[f'knn_{family}']
    if family == 'vit':
        row, column, columns = str(depth), width, table['columns_width']
        rows = table['rows_depth']
    else:
        row, rows = str(width), table['rows_width']
        if family == 'swin':
            column, columns = 6 + depth, table['columns_total_depth']
        else:
            if len(depth) != 4 or (depth[0], depth[3]) != (3, 3):
                return None
            column, columns = f'{depth[1]}-{depth[2]}', table['columns_stage2_stage3']
    return rows[row][columns.index(column)] if row in rows and column in columns else None


def paper_linear(result: Mapping[str, Any]) -> float | None:
    """Accuracy of linear probing on ImageNet-1K (POA, tables 1, 7, 8, 10)."""
    row = _row('imagenet', paper_name(result))
    return None if row is None else row['linear']


def paper_cluster(result: Mapping[str, Any]) -> dict[str, float] | None:
    """``acc``, ``ari``, ``nmi`` and ``fmi`` of k-means on ImageNet-1K (POA, table 11)."""
    return _row('unsupervised', paper_name(result))


def paper_finetune(result: Mapping[str, Any]) -> float | None:
    """Accuracy of fine-tuning on ImageNet-1K (POA, table 7)."""
    row = _row('imagenet', paper_name(result))
    return None if row is None else row['finetune']


def paper_semi(result: Mapping[str, Any], fraction: float | None) -> float | None:
    """Accuracy with a share of ImageNet-1K's labels, 0.01 or 0.1 (POA, table 9)."""
    row = _row('semi_supervised', paper_name(result))
    return row.get(f'{100 * fraction:g}%') if row and fraction else None


def paper_transfer(result: Mapping[str, Any], dataset: str) -> float | None:
    """Accuracy on another data set, by the name that it has in the paper (POA, table 12)."""
    row, columns = _row('transfer', paper_name(result)), paper_tables()['transfer']['columns']
    return row['acc'][columns.index(dataset)] if row and dataset in columns else None


def paper_downstream(result: Mapping[str, Any]) -> dict[str, float | None] | None:
    """``ap_box``, ``ap_mask`` on COCO, ``miou_linear``, ``miou_upernet`` on ADE20K (POA, table 2)."""
    return _row('downstream', paper_name(result))


def _row(table: str, name: str | None) -> dict[str, Any] | None:
    rows = [row for row in paper_tables()[table]['rows'] if row['arch'] == name and row.get('method', 'POA') == 'POA']
    return rows[0] if rows else None


def _size(result: Mapping[str, Any]) -> tuple[int, Any]:
    depth = result['depth']
    return result['width'], tuple(depth) if isinstance(depth, list) else depth
