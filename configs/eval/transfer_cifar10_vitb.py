"""ViT-B on CIFAR-10; see transfer_cifar10_vits.py."""

_base_ = 'transfer_cifar10_vits.py'

subnet = dict(width=768, depth=12, checkpoint='subnets/B.pth')

model = dict(
    backbone=dict(
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 64,
            feedforward_channels=subnet['width'] * 4,
        ),
        drop_path_rate=0.2,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    head=dict(in_channels=subnet['width']),
)
