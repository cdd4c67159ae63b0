"""UPerNet on Swin: window 7, heads of 16 channels."""

_base_ = 'upernet.py'

model = dict(
    backbone=dict(
        type='SwinTransformer',
        window_size=7,
        with_cp=False,
        init_cfg=dict(type='Pretrained'),
    ),
)
