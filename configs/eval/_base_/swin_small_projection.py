"""The same behind the first layer of the projection head.

Untrained: --cfg-options model.neck.checkpoint=None
"""

_base_ = 'swin_small.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='poa_mm.ProjectionLayer',
        in_channels='$feature_dims',
        hidden_dims=512,
        checkpoint='work_dirs/poa_swin_small/iter_1000.pth',
    ),
    head=dict(in_channels=512),
)
