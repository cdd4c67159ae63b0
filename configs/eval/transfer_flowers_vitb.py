"""ViT-B on Flowers-102; see transfer_flowers_vits.py."""

_base_ = 'transfer_flowers_vits.py'

model = dict(
    backbone=dict(
        arch=dict(embed_dims=768, num_heads=12, feedforward_channels=3072),
        drop_path_rate=0.2,
        init_cfg=dict(checkpoint='subnets/B.pth'),
    ),
    head=dict(in_channels=768),
)
