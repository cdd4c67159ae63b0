"""A doubled ResNet-152 and the 464 smaller ResNets inside it, on ImageNet-1K: the paper's recipe (POA, sec. 4.1).

tools/dist_train.sh configs/poa_resnet152.py 8
"""

_base_ = '_base_/poa_imagenet.py'

# Images per optimizer step, and per GPU at a time. Gradients are accumulated over total_batch / (batch_size x GPUs)
# micro-batches: 1 on the paper's 32 GPUs, 4 on 8. The learning rate follows total_batch by the square-root rule.
total_batch = 1280
batch_size = 40

# All lengths are optimizer steps; an "epoch" is a unit of the schedule, 1000 steps.
epoch = 1000
steps = 692 * epoch

# --- the network and its sub-networks: 3 widths x 5 x 31 depths ---
# The intact network is twice as wide as ResNet-152 inside its bottlenecks; R50, R101 and R152 are members.
model = dict(
    backbone=dict(
        type='ElasticResNet',
        widths=(64, 128, 32),
        depths=((3, 3), (4, 8), (6, 36), (3, 3)),
        stem_channels=64,
        num_groups=32,
    ),
    # GPUs of a step draw sub-networks of like cost; 'per_rank' is the paper's way, in which all wait for the largest.
    sampler=dict(mode='by_cost', width_strength=1, depth_strength=2),
    schedule=dict(temp_start=0.04, temp_final=0.07, temp_steps=30 * epoch, patch_loss_start=30 * epoch),
)

# --- the data: see _base_/multi_crop_224.py; --cfg-options data_root=... moves it ---
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(batch_size=batch_size),
    collate_fn=dict(mask_ratio=(0.1, 0.3)),
)

# --- what changes over time; losses, heads and the optimizer: see _base_/poa_imagenet.py ---
optim_wrapper = dict(
    total_batch=total_batch,
    batch_size=batch_size,
    # The paper's text says 0.9 for all families.
    paramwise_cfg=dict(layer_decay_rate=0.95),
)
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=30 * epoch, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(max_iters=steps)
default_hooks = dict(
    teacher=dict(steps=steps),
    freeze_last_layer=dict(steps=epoch),
    checkpoint=dict(interval=epoch),
)
