"""The embedded demo: a small elastic ViT on generated images, minutes on a CPU, no data needed.

make demo
"""

_base_ = '_base_/runtime.py'

total_batch = 64
batch_size = 64
steps = 300  # all lengths follow
log_interval = 20

# 3 widths x 4 depths = 12 networks
model = dict(
    type='POA',
    backbone=dict(
        type='ElasticVisionTransformer',
        img_size=48,
        patch_size=8,
        widths=(64, 128, 32),
        depths=(2, 5),
        head_dim=32,
        layer_scale_init_value=0.1,
    ),
    head=dict(type='MultiPrototypeHead', num_prototypes=(256, 512, 1024), hidden_dims=256, bottleneck_dims=64),
    schedule=dict(temp_start=0.04, temp_final=0.04, temp_steps=0, patch_loss_start=steps // 3),
)

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededInfiniteSampler', batch_size=batch_size),
    collate_fn=dict(type='poa_mm.multi_crop_collate', grid=(6, 6), mask_ratio=(0.1, 0.5)),
    dataset=dict(
        type='ViewsDataset',
        dataset=dict(type='DemoDataset', num_samples=2000, split='train'),
        views=dict(
            global_1=dict(size=48, scale=(0.32, 1.0), blur=0.0),
            global_2=dict(size=48, scale=(0.32, 1.0), blur=0.2, solarize=0.2),
            local=dict(size=24, number=4, scale=(0.05, 0.32), blur=0.1),
        ),
    ),
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
    dict(type='CosineLR', steps=steps, warmup=steps * 2 // 15, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(type='StepTrainLoop', max_iters=steps)
default_hooks = dict(
    batch_check=dict(type='BatchSizeCheckHook'),
    teacher=dict(type='TeacherEMAHook', start=0.98, final=0.999, steps=steps),
    freeze_last_layer=dict(type='FreezeLastLayerHook', steps=steps // 3),
    logger=dict(interval=log_interval),
    checkpoint=dict(interval=100),
)

knn = dict(
    train=dict(type='DemoDataset', num_samples=2000, split='train'),
    val=dict(type='DemoDataset', num_samples=400, split='val'),
    resize=64,
    crop=64,
    ks=(10, 20, 100),
)
