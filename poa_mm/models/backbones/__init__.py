from .base import ElasticBackbone
from .vit import ElasticVisionTransformer

__all__ = ['ElasticBackbone', 'ElasticVisionTransformer']
