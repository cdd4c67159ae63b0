"""The same behind the first layer of the projection head (POA, sec. 4)."""

_base_ = 'resnet.py'

model = dict(
    backbone=dict(out_indices=(3,)),
    # The checkpoint that the network was extracted from. None starts this layer untrained, as the authors' program
    # does: the names in its file do not match.
    neck=dict(
        _delete_=True,
        type='poa_mm.ProjectionLayer',
        in_channels='$feature_dims',
        hidden_dims=2048,
        checkpoint='work_dirs/poa_resnet152/iter_692000.pth',
    ),
    head=dict(in_channels=2048),
)
