"""A classifier on a Swin/W7 (POA, sec. 4): the mean of the last stage; the config gives the size."""

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='SwinTransformer',
        img_size=224,
        patch_size=4,
        window_size=7,
        pad_small_map=True,
        out_indices=(0, 1, 2, 3),  # with the norms of all stages, as extracted; the head takes the last
        init_cfg=dict(type='Pretrained'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
find_unused_parameters = True  # the norms of the other stages
