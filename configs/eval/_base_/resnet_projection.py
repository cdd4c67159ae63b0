"""The same behind the first layer of the projection head, without mixing of images (POA, sec. 4)."""

_base_ = 'resnet.py'

model = dict(
    backbone=dict(out_indices=(3,)),
    # The checkpoint that the network was extracted from; None starts this layer untrained.
    neck=dict(
        _delete_=True,
        type='poa_mm.ProjectionLayer',
        in_channels='$feature_dims',
        hidden_dims=2048,
        checkpoint='work_dirs/poa_resnet152/iter_692000.pth',
    ),
    head=dict(_delete_=True, type='LinearClsHead', num_classes=1000, in_channels=2048),
    train_cfg=None,
)
