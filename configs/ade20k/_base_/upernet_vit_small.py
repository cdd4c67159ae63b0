"""UPerNet with the small heads on a plain ViT; the last map of the pyramid has a stride of 24."""

_base_ = 'upernet_small.py'

model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=24)),
    backbone=dict(_delete_=True, type='$backbone', img_size=192),
    neck=dict(type='poa_mm.ViTPyramid', embed_dims='$feature_dims', norm_cfg=dict(type='BN')),
    decode_head=dict(in_index=[0, 1, 2, 3]),
    auxiliary_head=dict(in_channels='$channels[2]', in_index=2),
)
