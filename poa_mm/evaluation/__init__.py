"""Protocols that evaluate frozen features: k-NN, linear probing, clustering, robustness."""

from .candidates import Candidate, gather_candidates, thumbnail_features
from .comparison import Comparison, EvalOptions, open_comparison
from .features import FeatureReader, gather_rows
from .images import EvalImages, open_split_pair
from .knn import NeighbourSearch, evaluate_knn
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
    'open_comparison',
    'open_split_pair',
    'thumbnail_features',
]
