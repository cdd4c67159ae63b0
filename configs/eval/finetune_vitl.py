"""ViT-L out of a checkpoint, fine-tuned on ImageNet-1K (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets L --out subnets
tools/dist_train.sh configs/eval/finetune_vitl.py 8
"""

_base_ = ['_base_/vit.py', '_base_/finetune.py', '_base_/epochs_50_of_200.py']

subnet = dict(width=1024, depth=24, checkpoint='subnets/L.pth')

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
optim_wrapper = dict(optimizer=dict(lr=0.0018), paramwise_cfg=dict(layer_decay_rate=0.6))
