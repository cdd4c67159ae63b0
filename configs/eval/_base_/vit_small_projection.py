"""The same behind the first layer of the projection head.

Untrained: --cfg-options model.neck.checkpoint=None
"""

_base_ = 'vit_small.py'

model = dict(
    neck=dict(
        type='poa_mm.ProjectionLayer',
        in_channels='$feature_dims',
        hidden_dims=512,
        checkpoint='work_dirs/poa_vit_small/iter_1000.pth',
    ),
    head=dict(in_channels=512),
)
