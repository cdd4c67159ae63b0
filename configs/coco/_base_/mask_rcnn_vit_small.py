"""The small Mask R-CNN on the pyramid of a plain ViT."""

_base_ = 'mask_rcnn_small.py'

model = dict(
    # Positions are resized to this once, when they are loaded, and to every image as it comes.
    backbone=dict(_delete_=True, type='$backbone', img_size=264),
    neck=[
        dict(type='poa_mm.ViTPyramid', embed_dims='$feature_dims', norm_cfg=dict(type='BN')),
        dict(type='FPN', in_channels='$channels', out_channels=64, num_outs=5),
    ],
    # Patches of 12 px: strides 3, 6, 12 and 24.
    data_preprocessor=dict(pad_size_divisor=24),
    rpn_head=dict(anchor_generator=dict(strides=[3, 6, 12, 24, 48])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[3, 6, 12, 24]),
        mask_roi_extractor=dict(featmap_strides=[3, 6, 12, 24]),
    ),
)
