"""Cascade Mask R-CNN on the pyramid of a plain ViT."""

_base_ = 'cascade_mask_rcnn.py'

model = dict(
    # Positions are resized to this once, when they are loaded, and to every image as it comes.
    backbone=dict(_delete_=True, type='$backbone', img_size=800),
    neck=[
        dict(type='poa_mm.ViTPyramid', embed_dims='$feature_dims', norm_cfg=dict(type='SyncBN')),
        dict(type='FPN', in_channels='$channels', out_channels=256, num_outs=5),
    ],
)
