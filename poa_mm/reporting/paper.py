"""The figures of the paper for the network of a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from poa_mm.models.backbones import FAMILIES


@lru_cache
def paper_tables() -> dict[str, Any]:
    """All tables of ``poa_mm/reference/paper_tables.json``."""
    return json.loads(files('poa_mm.reference').joinpath('paper_tables.json').read_text())


def paper_name(result: Mapping[str, Any]) -> str | None:
    """Name of the network of a result entry in the paper; ``None`` if it has none."""
    family = FAMILIES.get(result.get('family'))
    return family.paper_name(*paper_size(result)) if family and 'width' in result else None


def paper_knn(result: Mapping[str, Any]) -> float | None:
    """k-NN accuracy on ImageNet-1K of the sub-network of this size (POA, tables 13 to 15)."""
    family = FAMILIES.get(result.get('family'))
    if family is None or family.paper_table is None or 'width' not in result:
        return None
    table, cell = paper_tables()[family.paper_table], family.paper_cell(*paper_size(result))
    rows, columns = (next(table[key] for key in table if key.startswith(side)) for side in ('rows', 'columns'))
    if cell is None or cell[0] not in rows or cell[1] not in columns:
        return None
    return rows[cell[0]][columns.index(cell[1])]


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


def paper_size(result: Mapping[str, Any]) -> tuple[int, Any]:
    """Width and depth of a result, as the families' ``paper_name`` and ``paper_cell`` take them."""
    depth = result['depth']
    return result['width'], tuple(depth) if isinstance(depth, list) else depth
