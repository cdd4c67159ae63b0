"""A classifier on a plain ViT/16 (POA, sec. 4): the class token after the final norm; the config gives the size."""

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        img_size=224,
        patch_size=16,
        layer_scale_init_value=1e-5,
        init_cfg=dict(type='Pretrained'),
    ),
    neck=None,
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=1000,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
