"""Swin-T out of a checkpoint, fine-tuned on ImageNet-1K (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets T --out subnets
tools/dist_train.sh configs/eval/finetune_swint.py 8
"""

_base_ = ['_base_/swin.py', '_base_/finetune.py', '_base_/epochs_200.py']

subnet = dict(width=96, depth=6, checkpoint='subnets/T.pth')

model = dict(
    backbone=dict(
        arch=dict(
            embed_dims=subnet['width'],
            depths=[2, 2, subnet['depth'], 2],
            num_heads=[subnet['width'] // 16, subnet['width'] // 8, subnet['width'] // 4, subnet['width'] // 2],
        ),
        drop_path_rate=0.1,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    head=dict(in_channels=subnet['width'] * 8),
)
optim_wrapper = dict(optimizer=dict(lr=0.0014), paramwise_cfg=dict(layer_decay_rate=0.6))
