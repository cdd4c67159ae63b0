"""SEED for small data: the largest network of a single_vit_small.py run teaches the smallest size.

tools/train.py configs/seed_vit_small.py --amp --cfg-options data_root=data/my_images \
  model.teacher.file=work_dirs/single_vit_small/iter_1000.pth
"""

_base_ = 'poa_vit_small.py'

model = dict(
    _delete_=True,
    type='SEED',
    teacher=dict(file='work_dirs/single_vit_small/iter_1000.pth'),
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

train_dataloader = dict(
    collate_fn=dict(mask_ratio=(0.1, 0.1), mask_probability=0.0),
    dataset=dict(views=dict(local=dict(number=0))),
)
custom_hooks = [dict(type='BatchSizeCheckHook')]
