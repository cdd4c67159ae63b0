"""Small data with an elastic Swin: poa_vit_small.py with another backbone, 4 widths x 3 depths.

tools/train.py configs/poa_swin_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = 'poa_vit_small.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ElasticSwinTransformer',
        img_size=96,
        patch_size=4,
        window_size=6,
        widths=(24, 48, 8),
        depths=(2, 4),
        stage_depths=(1, 1, None),
        head_dim=8,
    ),
    sampler=dict(width_strength=2, depth_strength=2),
    # The ViT's sharper targets and faster teacher have not been tried with Swin.
    schedule=dict(temp_start=0.04, temp_final=0.04),
)
default_hooks = dict(teacher=dict(start=0.99, final=0.9995))
# Masks live on cells of 16 px.
train_dataloader = dict(collate_fn=dict(grid=(6, 6), mask_ratio=(0.1, 0.3)))

knn = dict(resize=128, crop=128)
