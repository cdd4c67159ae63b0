"""A classifier of small data on a ResNet of three stages: the means of the last two, 128 + 256."""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean='$mean', std='$std', to_rgb=True),
    backbone=dict(type='$backbone', out_indices=(1, 2)),
    neck=dict(type='poa_mm.ConcatPool'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=384),
)
