"""Elastic networks: what a sub-network is, which one is drawn, and how weights are cut. PyTorch only."""

from .layers import (
    ElasticConv2d,
    ElasticGroupNorm,
    ElasticLayerNorm,
    ElasticLayerScale,
    ElasticLinear,
)
from .sampler import SubnetSampler
from .slicing import SliceRule, collect_slice_rules, rename_blocks, slice_state_dict, slice_tensor
from .space import Subnet, SubnetSpace, choices, spaced_blocks

__all__ = [
    'ElasticConv2d',
    'ElasticGroupNorm',
    'ElasticLayerNorm',
    'ElasticLayerScale',
    'ElasticLinear',
    'SliceRule',
    'Subnet',
    'SubnetSampler',
    'SubnetSpace',
    'choices',
    'collect_slice_rules',
    'rename_blocks',
    'slice_state_dict',
    'slice_tensor',
    'spaced_blocks',
]
