"""Swin-S out of a checkpoint, fine-tuned on ImageNet-1K (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets S --out subnets
tools/dist_train.sh configs/eval/finetune_swins.py 8
"""

_base_ = ['_base_/images_224.py', '_base_/runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='SwinTransformer',
        arch=dict(embed_dims=96, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48]),
        img_size=224,
        patch_size=4,
        window_size=7,
        pad_small_map=True,
        drop_path_rate=0.2,
        init_cfg=dict(type='Pretrained', checkpoint='subnets/S.pth'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)

# The learning rate is for a batch of 1024: 128 x 8 GPUs; any other batch changes it in proportion.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=0.001, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=128, base_batch_size=1024),
    paramwise_cfg=dict(layer_decay_rate=0.4),
)
# As in the authors' program: 100 epochs of a cosine over 200.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', T_max=190, eta_min=1e-6, by_epoch=True, begin=10, end=200, convert_to_iter_based=True
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
custom_hooks = [dict(type='EMAHook', momentum=4e-5)]
