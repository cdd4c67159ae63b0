"""An extracted network catches up with the intact one: a short distillation on the same images, without labels.

tools/extract.py work_dirs/poa_vit_small/iter_1000.pth --subnets 96x4 192x8 --out subnets/mmpretrain
tools/train.py configs/recover_vit_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = ['_base_/runtime.py', '_base_/multi_crop_96.py']

# Images per optimizer step, and per process at a time.
total_batch = 64
batch_size = 64
steps = 100

# The two extracted networks; their sizes are below.
student_file = 'subnets/mmpretrain/96x4.pth'
teacher_file = 'subnets/mmpretrain/192x8.pth'

vit = dict(
    type='ElasticVisionTransformer',
    img_size=96,
    patch_size=12,
    head_dim=32,
    layer_scale_init_value=0.1,
)
model = dict(
    type='Recovery',
    backbone=dict(
        widths=[96],
        depths=[4],
        init_cfg=dict(type='Pretrained', checkpoint=student_file, prefix='backbone.'),
        **vit,
    ),
    teacher=dict(
        type='FrozenBackbone',
        backbone=dict(
            widths=[192],
            depths=[8],
            init_cfg=dict(type='Pretrained', checkpoint=teacher_file, prefix='backbone.'),
            **vit,
        ),
    ),
)

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
    optimizer=dict(type='AdamW', lr=0.002, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
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
    checkpoint=dict(interval=100),
)

knn = dict(resize=128, crop=120, ks=(10, 20, 100, 200))
