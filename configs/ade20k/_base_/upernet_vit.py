"""UPerNet on a plain ViT, whose four maps, without the final norm, become a pyramid."""

_base_ = 'upernet.py'

model = dict(
    backbone=dict(_delete_=True, type='$backbone', img_size=512),
    neck=dict(type='poa_mm.ViTPyramid', embed_dims='$feature_dims', norm_cfg=dict(type='SyncBN')),
    decode_head=dict(channels='$feature_dims'),  # the width of the network, as in the authors' program
)
