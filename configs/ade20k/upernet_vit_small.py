"""A sub-network of configs/poa_vit_small.py, UPerNet on a few photographs.

tools/extract.py CHECKPOINT --subnets 192x8 --format mmseg --out subnets/mmseg
tools/train.py configs/ade20k/upernet_vit_small.py --cfg-options data_root=data/ade_mini

From scratch: --cfg-options model.backbone.init_cfg=None
"""

_base_ = ['_base_/ade20k_small.py', '_base_/schedule_small.py', '_base_/upernet_vit.py']

subnet = dict(width=192, depth=8, checkpoint='subnets/mmseg/192x8.pth')

model = dict(
    # The last map of the pyramid has a stride of 24.
    data_preprocessor=dict(size=(192, 192), test_cfg=dict(size_divisor=24)),
    backbone=dict(
        img_size=192,
        patch_size=12,
        layer_scale_init_value=0.1,
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 32,
            feedforward_channels=subnet['width'] * 4,
        ),
        # A quarter, a half and three quarters of the way, and the last.
        out_indices=[
            subnet['depth'] * 1 // 4 - 1,
            subnet['depth'] * 2 // 4 - 1,
            subnet['depth'] * 3 // 4 - 1,
            subnet['depth'] - 1,
        ],
        drop_path_rate=0.0,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    neck=dict(embed_dims=subnet['width'], norm_cfg=dict(type='BN')),
    decode_head=dict(
        in_channels=[subnet['width'], subnet['width'], subnet['width'], subnet['width']],
        channels=64,
        num_classes=14,
        norm_cfg=dict(type='BN'),
    ),
    auxiliary_head=dict(in_channels=subnet['width'], channels=32, num_classes=14, norm_cfg=dict(type='BN')),
    test_cfg=dict(_delete_=True, mode='whole'),
)
