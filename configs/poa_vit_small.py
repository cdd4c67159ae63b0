"""Small data, one GPU or a CPU: any folder of images, flat or one subfolder per class.

tools/train.py configs/poa_vit_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = '_base_/runtime.py'

data_root = 'data/images'

# One step of the optimizer sees batch_size x processes x accumulative_counts images.
batch_size = 64
accumulative_counts = 1
steps = 1000
warmup_steps = 100

# --- what is trained: 4 widths x 5 depths = 20 networks ---
model = dict(
    type='POA',
    backbone=dict(
        type='ElasticVisionTransformer',
        img_size=96,
        patch_size=12,
        widths=(96, 192, 32),
        depths=(4, 8),
        head_dim=32,
        layer_scale_init_value=0.1,
        drop_path_rate=0.0,
    ),
    head=dict(type='MultiPrototypeHead', num_prototypes=(256, 512, 1024, 2048), hidden_dims=512, bottleneck_dims=128),
    sampler=dict(mode='per_rank', width_strength=3, depth_strength=3),
    intact_weight=0.8,
)

# --- what it sees ---
photometric = dict(flip=0.5, jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grayscale=0.2)
views = dict(
    global_1=dict(size=96, scale=(0.32, 1.0), blur=0.0, **photometric),
    global_2=dict(size=96, scale=(0.32, 1.0), blur=0.5, solarize=0.2, **photometric),
    local=dict(size=48, number=4, scale=(0.05, 0.32), blur=0.5, **photometric),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SeededInfiniteSampler'),
    collate_fn=dict(type='poa_mm.multi_crop_collate', grid=(8, 8), mask_ratio=(0.1, 0.5)),
    dataset=dict(
        type='ViewsDataset',
        dataset=dict(type='ImageFolder', data_root=data_root),
        views=views,
    ),
)

# --- how it learns ---
optim_wrapper = dict(
    type='PoaOptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    accumulative_counts=accumulative_counts,
    optimizer=dict(type='AdamW', lr=0.004, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
    lr_scaling=dict(rule='sqrt', batch_size=batch_size, base_batch_size=1024),
    clip_grad=dict(max_norm=1.5, separately=True),
    paramwise_cfg=dict(layer_decay_rate=1.0, patch_embed_lr_mult=1.0),
)
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=warmup_steps, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps * accumulative_counts)
custom_hooks = [
    dict(type='BatchSizeCheckHook'),
    dict(type='PretrainScheduleHook', temp_start=0.04, temp_final=0.04, temp_steps=0, patch_loss_start=200),
    dict(type='TeacherEMAHook', start=0.99, final=0.9995, steps=steps),
    dict(type='FreezeLastLayerHook', steps=400),
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=150),
)

# Nearest neighbours of images of 128 px: nearly all of each.
knn = dict(resize=128, crop=120, ks=(10, 20, 100, 200))
