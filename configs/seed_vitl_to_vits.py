"""SEED: a ViT-L pre-trained by DINOv2 teaches a ViT-S, the comparison of the paper's table 4.

tools/extract.py work_dirs/dinov2_vitl/iter_216250.pth --subnets L --out subnets/mmpretrain
tools/dist_train.sh configs/seed_vitl_to_vits.py 8

Only the student is saved. Optimizer and schedule are ours: neither paper states those of a ViT.
"""

_base_ = ['_base_/runtime.py', '_base_/multi_crop_224.py']

from poa_mm.extraction import fill_in

# Images per optimizer step (POA, table 20), and per GPU at a time; both global crops of each are seen.
total_batch = 4096
batch_size = 128

# An epoch is 1.28 million images. Two views of each: 600 of them are the 1200 effective epochs of the paper's table.
epoch = 313
steps = 600 * epoch

model = dict(
    type='SEED',
    teacher=dict(type='FrozenBackbone', backbone=dict(type='$backbone')),
    teacher_dims='$feature_dims',
    backbone=dict(
        type='ElasticVisionTransformer',
        img_size=224,
        patch_size=16,
        widths=[384],
        depths=[12],
        head_dim=64,
        layer_scale_init_value=1e-5,
    ),
    queue_size=65536,
    teacher_temp=0.01,
    student_temp=0.2,
    hidden_dims=2048,
)
# The teacher: a member of a recipe's space, and its extracted file.
teacher_file = 'subnets/mmpretrain/L.pth'
model = fill_in(model, 'dinov2/dinov2_vitl', 'L', 'mmpretrain', teacher_file)

# No local crops, no masks.
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(batch_size=batch_size),
    collate_fn=dict(mask_ratio=(0.1, 0.1), mask_probability=0.0),
    dataset=dict(views=dict(local=dict(number=0))),
)

optim_wrapper = dict(
    type='PoaOptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    total_batch=total_batch,
    batch_size=batch_size,
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=0.001, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
    lr_scaling=dict(rule='sqrt', base_batch_size=1024),
    clip_grad=dict(max_norm=1.5, separately=True),
)
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=10 * epoch, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(type='StepTrainLoop', max_iters=steps)
default_hooks = dict(
    batch_check=dict(type='BatchSizeCheckHook'),
    backbone_check=dict(type='BackboneCheckHook'),
    checkpoint=dict(interval=epoch),
)
