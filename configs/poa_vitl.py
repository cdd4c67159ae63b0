"""ViT-L/16 and the 142 smaller ViTs inside it, on ImageNet-1K: the paper's recipe (POA, sec. 4.1).

tools/dist_train.sh configs/poa_vitl.py 8
"""

_base_ = ['_base_/runtime.py', '_base_/multi_crop_224.py']

# One optimizer step sees batch_size x GPUs x accumulative_counts images. The paper: 50 x 32 x 1 = 1600.
# On 8 GPUs of 80 GB the same batch is 50 x 8 x 4. The learning rate follows by the square-root rule.
batch_size = 50
accumulative_counts = 4

# All lengths are optimizer steps; an "epoch" is a unit of the schedule, 800 steps.
epoch = 800
steps = 346 * epoch
# The run ends when this part of every cosine is done.
run_fraction = 0.78

# --- the network and its sub-networks: 11 widths x 13 depths ---
model = dict(
    type='POA',
    backbone=dict(
        type='ElasticVisionTransformer',
        img_size=224,
        patch_size=16,
        widths=(384, 1024, 64),
        depths=(12, 24),
        head_dim=64,
        layer_scale_init_value=1e-5,
        drop_path_rate=0.2,
    ),
    head=dict(
        type='MultiPrototypeHead',
        num_prototypes=(8192, 16384, 32768, 65536),
        hidden_dims=2048,
        bottleneck_dims=256,
    ),
    sampler=dict(mode='per_rank', width_strength=3, depth_strength=3),
    target=dict(type='SinkhornKnopp', num_iters=3),
    intact_weight=0.8,
    student_temp=0.1,
    loss_weights=dict(cross_view=1.0, same_view=1.0, patch=1.0, koleo=0.1),
    data_preprocessor=dict(type='MultiCropPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
)

# --- the data: see _base_/multi_crop_224.py; --cfg-options data_root=... moves it ---
train_dataloader = dict(batch_size=batch_size, collate_fn=dict(mask_ratio=(0.1, 0.5)))

# --- the optimizer and what changes over time ---
optim_wrapper = dict(
    type='PoaOptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    accumulative_counts=accumulative_counts,
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=0.004, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
    # The program's rule; the paper's text says 'linear'.
    lr_scaling=dict(rule='sqrt', batch_size=batch_size, base_batch_size=1024),
    # The program clips the norm of the backbone and that of the heads; separately=False is the paper's text.
    clip_grad=dict(max_norm=1.5, separately=True),
    paramwise_cfg=dict(layer_decay_rate=0.9, patch_embed_lr_mult=0.2),
)
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=10 * epoch, final=2e-5, run_fraction=run_fraction),
    dict(type='CosineWeightDecay', steps=steps, final=0.4, run_fraction=run_fraction),
]
custom_hooks = [
    dict(type='BatchSizeCheckHook'),
    dict(
        type='PretrainScheduleHook',
        temp_start=0.04,
        temp_final=0.07,
        temp_steps=30 * epoch,
        patch_loss_start=30 * epoch,
    ),
    dict(type='TeacherEMAHook', start=0.992, final=0.9999, steps=steps, run_fraction=run_fraction),
    dict(type='FreezeLastLayerHook', steps=epoch),
]
# MMEngine counts iterations: accumulative_counts of them make one optimizer step.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps * accumulative_counts)
default_hooks = dict(checkpoint=dict(interval=epoch * accumulative_counts))
