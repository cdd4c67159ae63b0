"""ViT-L/16 and the 142 smaller ViTs inside it, on ImageNet-1K: the paper's recipe (POA, sec. 4.1).

tools/dist_train.sh configs/poa_vitl.py 8
"""

_base_ = '_base_/poa_imagenet.py'

# Images per optimizer step, and per GPU at a time. Gradients are accumulated over total_batch / (batch_size x GPUs)
# micro-batches: 1 on the paper's 32 GPUs, 4 on 8. The learning rate follows total_batch by the square-root rule.
total_batch = 1600
batch_size = 50

# All lengths are optimizer steps; an "epoch" is a unit of the schedule, 800 steps.
epoch = 800
steps = 346 * epoch
# The run ends when this part of every cosine is done.
run_fraction = 0.78

# --- the network and its sub-networks: 11 widths x 13 depths ---
model = dict(
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
    # GPUs of a step draw sub-networks of like cost; 'per_rank' is the paper's way, in which all wait for the largest.
    sampler=dict(mode='by_cost', width_strength=3, depth_strength=3),
    schedule=dict(temp_start=0.04, temp_final=0.07, temp_steps=30 * epoch, patch_loss_start=30 * epoch),
)

# --- the data: see _base_/multi_crop_224.py; --cfg-options data_root=... moves it ---
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(batch_size=batch_size),
    collate_fn=dict(mask_ratio=(0.1, 0.5)),
)

# --- what changes over time; losses, heads and the optimizer: see _base_/poa_imagenet.py ---
optim_wrapper = dict(
    total_batch=total_batch,
    batch_size=batch_size,
    paramwise_cfg=dict(layer_decay_rate=0.9, patch_embed_lr_mult=0.2),
)
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=10 * epoch, final=2e-5, run_fraction=run_fraction),
    dict(type='CosineWeightDecay', steps=steps, final=0.4, run_fraction=run_fraction),
]
train_cfg = dict(max_iters=steps)
default_hooks = dict(
    teacher=dict(steps=steps, run_fraction=run_fraction),
    freeze_last_layer=dict(steps=epoch),
    checkpoint=dict(interval=epoch),
)
