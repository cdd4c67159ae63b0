"""UPerNet on a plain ViT/16, whose four maps, without the final norm, become a pyramid."""

_base_ = 'upernet.py'

model = dict(
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        img_size=512,
        patch_size=16,
        layer_scale_init_value=1e-5,
        out_type='featmap',
        final_norm=False,
        init_cfg=dict(type='Pretrained'),
    ),
    neck=dict(type='poa_mm.ViTPyramid', norm_cfg=dict(type='SyncBN')),
)
