"""What fine-tuning on small data shares: folders train/ and val/ with one sub-folder of 128 px images per class.

10 epochs of crop and flip, without the mixing of images and the long schedules of ImageNet-1K. Other data:
--cfg-options data_root=... model.head.num_classes=...
"""

_base_ = 'runtime.py'

data_root = 'data/imagenette5_128'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.25, 1.0), interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=128, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=120),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    dataset=dict(
        type='poa_mm.LabelFraction',
        fraction=1.0,
        seed=0,
        dataset=dict(type='CustomDataset', data_root=f'{data_root}/train', pipeline=train_pipeline),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type='CustomDataset', data_root=f'{data_root}/val', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1,))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()

# No layer decay, so that a network from scratch is trained as well as one that starts from a file.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=0.001, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=64, base_batch_size=64),
    paramwise_cfg=dict(layer_decay_rate=1.0),
)
epochs = 10  # at least 2: the first is a warm-up
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - 1,
        eta_min=1e-6,
        by_epoch=True,
        begin=1,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=epochs // 2)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=epochs, max_keep_ckpts=1))
