"""A classifier of small data on a Swin: the mean of the last stage."""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean='$mean', std='$std', to_rgb=True),
    backbone=dict(type='$backbone'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels='$feature_dims'),
)
find_unused_parameters = True  # the norms of the other stages
