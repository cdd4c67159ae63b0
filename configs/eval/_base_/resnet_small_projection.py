"""The same behind the first layer of the projection head.

Untrained: --cfg-options model.neck.checkpoint=None
"""

_base_ = 'resnet_small.py'

model = dict(
    backbone=dict(out_indices=(2,)),
    neck=dict(
        _delete_=True,
        type='poa_mm.ProjectionLayer',
        in_channels='$feature_dims',
        hidden_dims=512,
        checkpoint='work_dirs/poa_resnet_small/iter_1000.pth',
    ),
    head=dict(in_channels=512),
)
