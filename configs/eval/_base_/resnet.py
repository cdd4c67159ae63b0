"""A classifier on a ResNet with GroupNorm (POA, sec. 4): the means of stages 2 to 4; the config gives the depth."""

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        norm_cfg=dict(type='GN', num_groups=32),
        out_indices=(1, 2, 3),
        init_cfg=dict(type='Pretrained'),
    ),
    neck=dict(type='poa_mm.ConcatPool'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=3584,  # 512 + 1024 + 2048
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
