from .classification import ConcatPool, ProjectionLayer
from .vit_pyramid import ViTPyramid

__all__ = ['ConcatPool', 'ProjectionLayer', 'ViTPyramid']
