"""A classifier on a ResNet with GroupNorm (POA, sec. 4): the means of stages 2 to 4; fill_in gives the ResNet."""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=1000, mean='$mean', std='$std', to_rgb=True),
    backbone=dict(type='$backbone', out_indices=(1, 2, 3)),
    neck=dict(type='poa_mm.ConcatPool'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=3584,  # 512 + 1024 + 2048
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
