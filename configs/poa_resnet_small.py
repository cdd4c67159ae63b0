"""Small data with an elastic ResNet: poa_vit_small.py with another backbone, 3 widths x 2 x 4 depths.

tools/train.py configs/poa_resnet_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = 'poa_vit_small.py'

# Three stages: the last map of a crop of 96 px has 6 x 6 positions.
model = dict(
    backbone=dict(
        _delete_=True,
        type='ElasticResNet',
        widths=(16, 32, 8),
        depths=((1, 1), (1, 2), (2, 5)),
        stem_channels=32,
        out_channels=64,
        num_groups=8,
    ),
    sampler=dict(width_strength=1, depth_strength=2),
)
# Masks live on cells of 16 px.
train_dataloader = dict(collate_fn=dict(grid=(6, 6), mask_ratio=(0.1, 0.3)))

knn = dict(resize=128, crop=128)
