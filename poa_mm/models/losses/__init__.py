from .koleo import koleo
from .prototype import cross_entropy, cross_view_global, cross_view_local, masked_patch, same_view
from .sinkhorn import Centering, SinkhornKnopp

__all__ = [
    'Centering',
    'SinkhornKnopp',
    'cross_entropy',
    'cross_view_global',
    'cross_view_local',
    'koleo',
    'masked_patch',
    'same_view',
]
