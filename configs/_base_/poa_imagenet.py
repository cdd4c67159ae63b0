"""What the paper's three recipes for ImageNet-1K share (POA, sec. 4.1)."""

_base_ = ['runtime.py', 'multi_crop_224.py']

model = dict(
    type='POA',
    head=dict(
        type='MultiPrototypeHead',
        num_prototypes=(8192, 16384, 32768, 65536),
        hidden_dims=2048,
        bottleneck_dims=256,
    ),
    target=dict(type='SinkhornKnopp', num_iters=3),
    intact_weight=0.8,
    student_temp=0.1,
    loss_weights=dict(cross_view=1.0, same_view=1.0, patch=1.0, koleo=0.1),
    data_preprocessor=dict(type='MultiCropPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
)
optim_wrapper = dict(
    type='PoaOptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=0.004, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
    # The program's rule; the paper's text says 'linear'.
    lr_scaling=dict(rule='sqrt', base_batch_size=1024),
    # The program clips the norm of the backbone and that of the heads; separately=False is the paper's text.
    clip_grad=dict(max_norm=1.5, separately=True),
)
train_cfg = dict(type='StepTrainLoop')
default_hooks = dict(
    batch_check=dict(type='BatchSizeCheckHook'),
    teacher=dict(type='TeacherEMAHook', start=0.992, final=0.9999),
    freeze_last_layer=dict(type='FreezeLastLayerHook'),
)
