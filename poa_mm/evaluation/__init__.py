"""Frozen features of any network, and what they are worth."""

from .candidates import Candidate, gather_candidates, thumbnail_features
from .comparison import Comparison, Inputs, open_comparison
from .features import FeatureReader, gather_rows
from .images import EvalImages, build_dataset, image_folder, open_split_pair
from .knn import NeighbourSearch, evaluate_knn, knn_accuracy
from .networks import Opened, open_network
from .records import read_knn, read_results, versions, write_json
from .tables import markdown_table, result_table

__all__ = [
    'Candidate',
    'Comparison',
    'EvalImages',
    'FeatureReader',
    'Inputs',
    'NeighbourSearch',
    'Opened',
    'build_dataset',
    'evaluate_knn',
    'gather_candidates',
    'gather_rows',
    'image_folder',
    'knn_accuracy',
    'markdown_table',
    'open_comparison',
    'open_network',
    'open_split_pair',
    'read_knn',
    'read_results',
    'result_table',
    'thumbnail_features',
    'versions',
    'write_json',
]
