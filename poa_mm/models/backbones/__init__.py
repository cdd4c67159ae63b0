from .base import ElasticBackbone
from .frozen import FrozenBackbone
from .layer_depth import LayerDepths, find_layer_depths
from .resnet import ElasticResNet
from .static_resnet import StaticResNet
from .swin import ElasticSwinTransformer
from .vit import ElasticVisionTransformer

__all__ = [
    'ElasticBackbone',
    'ElasticResNet',
    'ElasticSwinTransformer',
    'ElasticVisionTransformer',
    'FrozenBackbone',
    'LayerDepths',
    'StaticResNet',
    'find_layer_depths',
]
