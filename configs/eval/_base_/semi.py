"""What fine-tuning with 1 % or 10 % of ImageNet's labels shares.

Epochs and learning rate are the paper's, warm-up and augmentation ours: it does not tell them.
"""

_base_ = ['images_224.py', 'runtime.py']

# Few labels need no strong augmentation for 1000 epochs: crop and flip.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
# A draw of as many images of every class; list_file='1percent.txt' in place of fraction takes a published list.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='poa_mm.LabelFraction',
        fraction=0.01,
        seed=0,
        dataset=dict(type='ImageNet', data_root='data/imagenet', split='train', pipeline=train_pipeline),
    )
)

# The learning rate is for a batch of 512.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=5e-6, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=128, base_batch_size=512),
    paramwise_cfg=dict(no_decay=['pos_embed', 'cls_token', 'relative_position_bias_table']),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=995, eta_min=0, by_epoch=True, begin=5, end=1000, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=1000, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=50))
