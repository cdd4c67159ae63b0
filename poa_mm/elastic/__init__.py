"""Elastic networks: what a sub-network is, which one is drawn, and how weights are cut. PyTorch only."""

from .layers import (
    ElasticConv2d,
    ElasticGroupNorm,
    ElasticLayerNorm,
    ElasticLayerScale,
    ElasticLinear,
)
from .sampler import SubnetSampler
from .slicing import Cut, collect_cuts, cut, slice_state_dict
from .space import Subnet, SubnetSpace, inclusive_range, spaced_blocks

__all__ = [
    'Cut',
    'ElasticConv2d',
    'ElasticGroupNorm',
    'ElasticLayerNorm',
    'ElasticLayerScale',
    'ElasticLinear',
    'Subnet',
    'SubnetSampler',
    'SubnetSpace',
    'collect_cuts',
    'cut',
    'inclusive_range',
    'slice_state_dict',
    'spaced_blocks',
]
