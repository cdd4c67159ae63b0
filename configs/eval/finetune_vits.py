"""ViT-S out of a checkpoint, fine-tuned on ImageNet-1K (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets S --out subnets
tools/dist_train.sh configs/eval/finetune_vits.py 8
"""

_base_ = ['_base_/vit.py', '_base_/finetune.py', '_base_/epochs_200.py']

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
    head=dict(in_channels=subnet['width']),
)
optim_wrapper = dict(optimizer=dict(lr=0.002), paramwise_cfg=dict(layer_decay_rate=0.55))
