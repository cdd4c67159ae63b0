"""Swin-B/W7 and the 38 smaller Swins inside it, on ImageNet-1K: the paper's recipe (POA, sec. 4.1).

tools/dist_train.sh configs/poa_swinb.py 8
"""

_base_ = ['_base_/runtime.py', '_base_/multi_crop_224.py']

# Images per optimizer step, and per GPU at a time. Gradients are accumulated over total_batch / (batch_size x GPUs)
# micro-batches: 1 on the paper's 32 GPUs, 4 on 8. The learning rate follows total_batch by the square-root rule.
total_batch = 2048
batch_size = 64

# All lengths are optimizer steps; an "epoch" is a unit of the schedule, 625 steps.
epoch = 625
steps = 346 * epoch
# The run ends when this part of every cosine is done.
run_fraction = 0.9

# --- the network and its sub-networks: 3 widths x 13 depths ---
model = dict(
    type='POA',
    backbone=dict(
        type='ElasticSwinTransformer',
        img_size=224,
        patch_size=4,
        window_size=7,
        widths=(96, 128, 16),
        depths=(6, 18),
        stage_depths=(2, 2, None, 2),
        head_dim=16,
        drop_path_rate=0.2,
    ),
    head=dict(
        type='MultiPrototypeHead',
        num_prototypes=(8192, 16384, 32768, 65536),
        hidden_dims=2048,
        bottleneck_dims=256,
    ),
    sampler=dict(mode='per_rank', width_strength=2, depth_strength=2),
    target=dict(type='SinkhornKnopp', num_iters=3),
    intact_weight=0.8,
    student_temp=0.1,
    loss_weights=dict(cross_view=1.0, same_view=1.0, patch=1.0, koleo=0.1),
    schedule=dict(temp_start=0.04, temp_final=0.07, temp_steps=30 * epoch, patch_loss_start=30 * epoch),
    data_preprocessor=dict(type='MultiCropPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
)

# --- the data: see _base_/multi_crop_224.py; --cfg-options data_root=... moves it ---
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(batch_size=batch_size),
    collate_fn=dict(mask_ratio=(0.1, 0.3)),
)

# --- the optimizer and what changes over time ---
optim_wrapper = dict(
    type='PoaOptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    total_batch=total_batch,
    batch_size=batch_size,
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=0.004, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
    # The program's rule; the paper's text says 'linear'.
    lr_scaling=dict(rule='sqrt', base_batch_size=1024),
    # The program clips the norm of the backbone and that of the heads; separately=False is the paper's text.
    clip_grad=dict(max_norm=1.5, separately=True),
    paramwise_cfg=dict(layer_decay_rate=0.9, patch_embed_lr_mult=0.2),
)
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=30 * epoch, final=2e-5, run_fraction=run_fraction),
    dict(type='CosineWeightDecay', steps=steps, final=0.4, run_fraction=run_fraction),
]
train_cfg = dict(type='StepTrainLoop', max_iters=steps)
default_hooks = dict(
    batch_check=dict(type='BatchSizeCheckHook'),
    teacher=dict(type='TeacherEMAHook', start=0.992, final=0.9999, steps=steps, run_fraction=run_fraction),
    freeze_last_layer=dict(type='FreezeLastLayerHook', steps=epoch),
    checkpoint=dict(interval=epoch),
)
