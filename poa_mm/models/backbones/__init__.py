from .base import ElasticBackbone
from .swin import ElasticSwinTransformer
from .vit import ElasticVisionTransformer

__all__ = ['ElasticBackbone', 'ElasticSwinTransformer', 'ElasticVisionTransformer']
