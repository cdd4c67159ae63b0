"""A classifier on a Swin (POA, sec. 4): the mean of the last stage; fill_in gives the Swin."""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=1000, mean='$mean', std='$std', to_rgb=True),
    # It gives the normed maps of all stages; the neck takes the last. The authors' program has an option for drop path,
    # which nothing reads.
    backbone=dict(type='$backbone', drop_path_rate=0.0),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels='$feature_dims',
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
find_unused_parameters = True  # the norms of the other stages
