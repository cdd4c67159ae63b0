"""ViT-L out of a checkpoint, frozen, a linear classifier on ADE20K (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets L --format mmseg --out subnets/mmseg
tools/dist_train.sh configs/ade20k/linear_vitl_160k.py 8
"""

_base_ = ['_base_/runtime.py', '_base_/ade20k_512.py', '_base_/schedule_160k.py', '_base_/linear_vit.py']

subnet = dict(width=1024, depth=24, checkpoint='subnets/mmseg/L.pth')

model = dict(
    backbone=dict(
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
            init_cfg=dict(checkpoint=subnet['checkpoint']),
        ),
    ),
    decode_head=dict(
        in_channels=[subnet['width'], subnet['width'], subnet['width'], subnet['width']],
        channels=4 * subnet['width'],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=2e-5))
