"""What fine-tuning on other data sets shares (POA, table 12); the config gives the data set and the size.

The paper does not tell its settings: these are ours, in the manner of iBOT and DeiT.
"""

_base_ = ['images_224.py', 'vit.py', 'runtime.py']

bgr_mean, bgr_std = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
    ),
    dict(
        type='RandomErasing',
        erase_prob=0.1,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=bgr_mean,
        fill_std=bgr_std,
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=96, dataset=dict(_delete_=True, pipeline=train_pipeline))
val_dataloader = dict(batch_size=96, dataset=dict(_delete_=True, pipeline=test_pipeline))
test_dataloader = val_dataloader

# The learning rate is for a batch of 512.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=7.5e-06, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=96, base_batch_size=512),
    paramwise_cfg=dict(no_decay=['pos_embed', 'cls_token', 'relative_position_bias_table']),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type='poa_mm.ProportionalCosineLR',
        T_max=995,
        eta_min=1e-6,
        by_epoch=True,
        begin=5,
        end=1000,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=1000, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10))
