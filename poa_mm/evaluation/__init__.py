"""Frozen features of any network, and what they are worth."""

from poa_mm.reporting.records import read_knn, read_results, versions, write_json
from poa_mm.reporting.tables import markdown_table, result_table

from .candidates import Candidate, gather_candidates, thumbnail_features
from .comparison import Comparison, EvalOptions, open_comparison
from .features import FeatureReader, gather_rows
from .images import EvalImages, open_split_pair
from .knn import NeighbourSearch, evaluate_knn, knn_accuracy
from .knn_hook import KnnHook

__all__ = [
    'Candidate',
    'Comparison',
    'EvalImages',
    'EvalOptions',
    'FeatureReader',
    'KnnHook',
    'NeighbourSearch',
    'evaluate_knn',
    'gather_candidates',
    'gather_rows',
    'knn_accuracy',
    'markdown_table',
    'open_comparison',
    'open_split_pair',
    'read_knn',
    'read_results',
    'result_table',
    'thumbnail_features',
    'versions',
    'write_json',
]
