"""ViT-B out of a checkpoint, UPerNet on ADE20K (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets B --format mmseg --out subnets/mmseg
tools/dist_train.sh configs/ade20k/upernet_vitb_160k.py 8
"""

_base_ = ['_base_/runtime.py', '_base_/ade20k_512.py', '_base_/schedule_160k.py', '_base_/upernet_vit.py']

subnet = dict(width=768, depth=12, checkpoint='subnets/mmseg/B.pth')

model = dict(
    backbone=dict(
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 64,
            feedforward_channels=subnet['width'] * 4,
        ),
        # Blocks 4, 6, 8, 12 of 12; indices count from 0.
        out_indices=[
            subnet['depth'] * 4 // 12 - 1,
            subnet['depth'] * 6 // 12 - 1,
            subnet['depth'] * 8 // 12 - 1,
            subnet['depth'] - 1,
        ],
        drop_path_rate=0.15,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    neck=dict(embed_dims=subnet['width']),
    decode_head=dict(in_channels=[subnet['width'], subnet['width'], subnet['width'], subnet['width']]),
    auxiliary_head=dict(in_channels=subnet['width']),
)
optim_wrapper = dict(optimizer=dict(lr=4e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=1e-7, by_epoch=False, begin=1500, end=160000),
]
