"""The linear classifier for crops of 192 px and 14 classes."""

_base_ = 'linear_vit.py'

model = dict(
    data_preprocessor=dict(size=(192, 192), test_cfg=dict(size_divisor=12)),
    backbone=dict(backbone=dict(img_size=192)),
    decode_head=dict(num_classes=14),
    test_cfg=dict(_delete_=True, mode='whole'),
)
