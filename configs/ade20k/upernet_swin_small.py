"""A sub-network of configs/poa_swin_small.py, UPerNet on a few photographs.

tools/extract.py CHECKPOINT --subnets 48x4 --format mmseg --out subnets/mmseg
tools/train.py configs/ade20k/upernet_swin_small.py --cfg-options data_root=data/ade_mini

From scratch: --cfg-options model.backbone.init_cfg=None
"""

_base_ = ['_base_/ade20k_small.py', '_base_/schedule_small.py', '_base_/upernet_swin.py']

# The depth is that of the third stage, the last.
subnet = dict(width=48, depth=4, checkpoint='subnets/mmseg/48x4.pth')

model = dict(
    # The last map has a stride of 16.
    data_preprocessor=dict(size=(192, 192), test_cfg=dict(size_divisor=16)),
    backbone=dict(
        embed_dims=subnet['width'],
        depths=[1, 1, subnet['depth']],
        num_heads=[subnet['width'] // 8, subnet['width'] // 4, subnet['width'] // 2],
        strides=(4, 2, 2),
        out_indices=(0, 1, 2),
        window_size=6,
        drop_path_rate=0.0,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    decode_head=dict(
        in_channels=[subnet['width'], subnet['width'] * 2, subnet['width'] * 4],
        in_index=[0, 1, 2],
        channels=64,
        num_classes=14,
        norm_cfg=dict(type='BN'),
    ),
    auxiliary_head=dict(
        in_channels=subnet['width'] * 2, in_index=1, channels=32, num_classes=14, norm_cfg=dict(type='BN')
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)
