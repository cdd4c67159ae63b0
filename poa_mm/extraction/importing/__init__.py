"""Weights of other libraries as an elastic checkpoint."""

from .checkpoint import ImportedWeights, import_weights
from .importance import first_order_scores, magnitude_scores, read_batches, reorder, reorder_head
from .reading import SourceFile, read_source

__all__ = [
    'ImportedWeights',
    'SourceFile',
    'first_order_scores',
    'import_weights',
    'magnitude_scores',
    'read_batches',
    'read_source',
    'reorder',
    'reorder_head',
]
