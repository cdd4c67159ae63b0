from .coding_rate import coding_rate
from .embedding import Embeddings
from .koleo import koleo
from .prototype import cross_entropy, cross_view_global, cross_view_local, masked_patch, same_view
from .sinkhorn import Centering, SinkhornKnopp

__all__ = [
    'Centering',
    'Embeddings',
    'SinkhornKnopp',
    'coding_rate',
    'cross_entropy',
    'cross_view_global',
    'cross_view_local',
    'koleo',
    'masked_patch',
    'same_view',
]
