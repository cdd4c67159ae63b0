"""SEED for small data: the largest network of a single_vit_small.py run teaches the smallest size.

tools/extract.py work_dirs/single_vit_small/iter_1000.pth --subnets 192x8 --out subnets/mmpretrain
tools/train.py configs/seed_vit_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = ['_base_/runtime.py', '_base_/multi_crop_96.py']

from poa_mm.extraction import fill_in

# Images per optimizer step, and per process at a time.
total_batch = 64
batch_size = 64
steps = 1000

model = dict(
    type='SEED',
    teacher=dict(type='FrozenBackbone', backbone=dict(type='$backbone')),
    teacher_dims='$feature_dims',
    backbone=dict(
        type='ElasticVisionTransformer',
        img_size=96,
        patch_size=12,
        widths=(96, 96, 32),
        depths=(4, 4),
        head_dim=32,
        layer_scale_init_value=0.1,
    ),
    queue_size=4096,
    teacher_temp=0.01,
    student_temp=0.2,
)
# The teacher: a member of a recipe's space, and its extracted file.
teacher_recipe = 'single_vit_small'
teacher = '192x8'
teacher_file = f'subnets/mmpretrain/{teacher}.pth'
model = fill_in(model, teacher_recipe, teacher, 'mmpretrain', teacher_file)

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
