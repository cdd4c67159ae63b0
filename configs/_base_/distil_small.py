"""Distillation on small images: loader, optimizer, schedules and hooks of SEED and of recovery."""

_base_ = ['runtime.py', 'multi_crop_96.py']

# Images per optimizer step, and per process at a time.
total_batch = 64
batch_size = 64
steps = 1000

# No local crops, no masks.
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(batch_size=batch_size),
    collate_fn=dict(grid=(8, 8), mask_ratio=(0.1, 0.1), mask_probability=0.0),
    dataset=dict(views=dict(local=dict(number=0))),
)

optim_wrapper = dict(
    type='PoaOptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    total_batch=total_batch,
    batch_size=batch_size,
    optimizer=dict(type='AdamW', lr=0.004, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
    lr_scaling=dict(rule='sqrt', base_batch_size=1024),
    clip_grad=dict(max_norm=1.5, separately=True),
)
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=steps // 10, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(type='StepTrainLoop', max_iters=steps)
default_hooks = dict(
    batch_check=dict(type='BatchSizeCheckHook'),
    backbone_check=dict(type='BackboneCheckHook'),
    logger=dict(interval=20),
    checkpoint=dict(interval=150),
)

# Nearest neighbours of images of 128 px: nearly all of each.
knn = dict(resize=128, crop=120)
