"""A classifier of small data on a plain ViT: the class token."""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean='$mean', std='$std', to_rgb=True),
    backbone=dict(type='$backbone'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels='$feature_dims'),
)
