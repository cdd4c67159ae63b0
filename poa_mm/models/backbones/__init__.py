from .base import FAMILIES, ElasticBackbone
from .families import describe_static, family_of, find_family, find_layer_depths, known_families
from .frozen import FrozenBackbone
from .layer_depth import LayerDepths, LayerNames
from .mask_cells import MaskCells
from .resnet import ElasticResNet
from .static_resnet import StaticResNet
from .static_vit import RegisterVisionTransformer
from .swin import ElasticSwinTransformer
from .vit import ElasticVisionTransformer

__all__ = [
    'FAMILIES',
    'ElasticBackbone',
    'ElasticResNet',
    'ElasticSwinTransformer',
    'ElasticVisionTransformer',
    'FrozenBackbone',
    'LayerDepths',
    'LayerNames',
    'MaskCells',
    'RegisterVisionTransformer',
    'StaticResNet',
    'describe_static',
    'family_of',
    'find_family',
    'find_layer_depths',
    'known_families',
]
