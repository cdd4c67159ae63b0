"""ViT-S out of a checkpoint, fine-tuned on CIFAR-10 (POA, table 12).

tools/extract.py CHECKPOINT --subnets S --out subnets
tools/dist_train.sh configs/eval/transfer_cifar10_vits.py 8
"""

_base_ = '_base_/transfer.py'

subnet = dict(width=384, depth=12, checkpoint='subnets/S.pth')

model = dict(
    backbone=dict(
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 64,
            feedforward_channels=subnet['width'] * 4,
        ),
        drop_path_rate=0.1,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    head=dict(num_classes=10, in_channels=subnet['width']),
)
data_preprocessor = dict(num_classes=10)

# These images come in memory: nothing to load.
data_root = 'data/cifar10'
train_pipeline = _base_.train_pipeline[1:]
test_pipeline = _base_.test_pipeline[1:]
train_dataloader = dict(
    dataset=dict(type='CIFAR10', data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    dataset=dict(type='CIFAR10', data_root=data_root, split='test', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
