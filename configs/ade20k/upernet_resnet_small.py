"""A sub-network of configs/poa_resnet_small.py, UPerNet on a few photographs.

tools/extract.py CHECKPOINT --subnets 32x1-2-5 --format mmseg --out subnets/mmseg
tools/train.py configs/ade20k/upernet_resnet_small.py --cfg-options data_root=data/ade_mini

From scratch: --cfg-options model.backbone.init_cfg=None
"""

_base_ = ['_base_/ade20k_small.py', '_base_/schedule_small.py', '_base_/upernet.py']

# The width is the middle channels of the first stage, the depth the blocks of every stage.
subnet = dict(width=32, depth=[1, 2, 5], checkpoint='subnets/mmseg/32x1-2-5.pth')

model = dict(
    # The last map has a stride of 16.
    data_preprocessor=dict(size=(192, 192), test_cfg=dict(size_divisor=16)),
    backbone=dict(
        type='poa_mm.StaticResNet',
        stage_blocks=subnet['depth'],
        mid_channels=subnet['width'],
        stem_channels=32,
        out_channels=64,
        norm_cfg=dict(type='GN', num_groups=8),
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    decode_head=dict(
        in_channels=[64, 128, 256],
        in_index=[0, 1, 2],
        channels=64,
        num_classes=14,
        norm_cfg=dict(type='BN'),
    ),
    auxiliary_head=dict(in_channels=128, in_index=1, channels=32, num_classes=14, norm_cfg=dict(type='BN')),
    test_cfg=dict(_delete_=True, mode='whole'),
)
