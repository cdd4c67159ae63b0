"""A classifier on a plain ViT (POA, sec. 4): the class token after the final norm; fill_in gives the ViT."""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=1000, mean='$mean', std='$std', to_rgb=True),
    # The authors' program has an option for drop path, which nothing reads.
    backbone=dict(type='$backbone', drop_path_rate=0.0),
    neck=None,
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=1000,
        in_channels='$feature_dims',
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
