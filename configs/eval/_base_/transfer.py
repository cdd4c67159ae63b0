"""What fine-tuning on other data sets shares (POA, table 12); the config gives the data set and the size.

Learning rates, layer decay, smallest learning rate, average of the weights and repeated augmentation are those of the
authors' program; batch, epochs and erasing are in the manner of iBOT and DeiT.
"""

_base_ = ['images_224.py', 'vit.py', 'runtime.py']

# The same images, erased less often.
train_pipeline = [
    *_base_.train_pipeline[:4],
    dict(_base_.train_pipeline[4], erase_prob=0.1),
    _base_.train_pipeline[5],
]
train_dataloader = dict(
    batch_size=96,
    dataset=dict(_delete_=True, pipeline=train_pipeline),
    sampler=dict(type='RepeatAugSampler', num_repeats=3),
)
val_dataloader = dict(batch_size=96, dataset=dict(_delete_=True, pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

# The config's learning rate is for a batch of 512.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=96, base_batch_size=512),
    paramwise_cfg=dict(scaled_lr=True, no_decay=['pos_embed', 'cls_token']),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type='poa_mm.ProportionalCosineLR',
        T_max=995,
        eta_min=1e-5,
        by_epoch=True,
        begin=5,
        end=1000,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=1000, val_interval=10)
default_hooks = dict(
    # The program keeps 0.7 of the averaged weights at every step.
    ema=dict(type='EMAHook', momentum=0.3),
    checkpoint=dict(interval=10, save_best='accuracy/top1'),
)
