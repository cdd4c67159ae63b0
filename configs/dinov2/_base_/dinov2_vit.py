"""DINOv2's released recipe for ImageNet with a plain ViT of one size: the rows of that name in the paper's tables.

Its default config, but for the length: 173 epochs in place of 100 are the paper's 1200 effective epochs.
"""

_base_ = ['../../_base_/runtime.py', '../../_base_/multi_crop_224.py']

# 64 on each of 32 GPUs.
total_batch = 2048
batch_size = 64
epoch = 1250
steps = 173 * epoch
prototypes = (65536,)

model = dict(
    type='POA',
    students=('intact',),
    intact_weight=1.0,
    backbone=dict(
        type='ElasticVisionTransformer',
        img_size=224,
        patch_size=16,
        head_dim=64,
        layer_scale_init_value=1e-5,
        drop_path_rate=0.3,
    ),
    head=dict(type='MultiPrototypeHead', num_prototypes=prototypes, hidden_dims=2048, bottleneck_dims=256),
    # On fewer GPUs the centre moves once a micro-batch.
    target=dict(type='Centering', num_prototypes=prototypes),
    student_temp=0.1,
    loss_weights=dict(patch=1.0, koleo=0.1),
    schedule=dict(temp_start=0.04, temp_final=0.07, temp_steps=30 * epoch, patch_loss_start=0),
    data_preprocessor=dict(type='MultiCropPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
)

train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(batch_size=batch_size),
    collate_fn=dict(mask_ratio=(0.1, 0.5)),
)

optim_wrapper = dict(
    type='PoaOptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    total_batch=total_batch,
    batch_size=batch_size,
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=0.004, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
    lr_scaling=dict(rule='sqrt', base_batch_size=1024),
    clip_grad=dict(max_norm=3.0, separately=True),
    paramwise_cfg=dict(layer_decay_rate=0.9, patch_embed_lr_mult=0.2),
)
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=10 * epoch, final=1e-6),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(type='StepTrainLoop', max_iters=steps)
default_hooks = dict(
    batch_check=dict(type='BatchSizeCheckHook'),
    teacher=dict(type='TeacherEMAHook', start=0.992, final=1.0, steps=steps),
    freeze_last_layer=dict(type='FreezeLastLayerHook', steps=epoch),
    checkpoint=dict(interval=epoch),
)
