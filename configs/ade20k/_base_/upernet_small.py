"""UPerNet with heads that a CPU trains in minutes, for backbones with three maps of strides 4, 8 and 16."""

_base_ = 'upernet.py'

norm_cfg = dict(type='BN')

model = dict(
    data_preprocessor=dict(size=(192, 192), test_cfg=dict(size_divisor=16)),
    decode_head=dict(in_index=[0, 1, 2], channels=64, num_classes=14, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels='$channels[1]', in_index=1, channels=32, num_classes=14, norm_cfg=norm_cfg),
    test_cfg=dict(_delete_=True, mode='whole'),
)
