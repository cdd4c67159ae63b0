"""UPerNet on a ResNet with GroupNorm, which needs no statistics of the batch."""

_base_ = 'upernet.py'

model = dict(
    backbone=dict(
        type='ResNet',
        norm_cfg=dict(type='GN', num_groups=32),
        with_cp=False,
        init_cfg=dict(type='Pretrained'),
    ),
    decode_head=dict(in_channels=[256, 512, 1024, 2048]),
    auxiliary_head=dict(in_channels=1024),
)
