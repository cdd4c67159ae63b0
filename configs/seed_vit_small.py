"""SEED for small data: the largest network of a single_vit_small.py run teaches the smallest size.

tools/extract.py work_dirs/single_vit_small/iter_1000.pth --subnets 192x8 --out subnets/mmpretrain
tools/train.py configs/seed_vit_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = '_base_/distil_small.py'

from poa_mm.extraction import fill_in

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
