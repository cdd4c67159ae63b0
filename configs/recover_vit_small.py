"""An extracted network catches up with the intact one: a short distillation on the same images, without labels.

tools/extract.py work_dirs/poa_vit_small/iter_1000.pth --subnets 96x4 192x8 --out subnets/mmpretrain
tools/train.py configs/recover_vit_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = '_base_/distil_small.py'

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

optim_wrapper = dict(optimizer=dict(lr=0.002))
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=steps // 10, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(max_iters=steps)
default_hooks = dict(checkpoint=dict(interval=100))
