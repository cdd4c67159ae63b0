"""A tenth of the labels of small data; see semi_10percent_vit_small.py."""

_base_ = 'finetune_resnet_small.py'

model = dict(
    backbone=dict(out_indices=(2,)),
    neck=dict(
        _delete_=True,
        type='poa_mm.ProjectionLayer',
        in_channels=256,
        hidden_dims=512,
        checkpoint='work_dirs/poa_resnet_small/iter_1000.pth',
    ),
    head=dict(in_channels=512),
)
train_dataloader = dict(dataset=dict(fraction=0.1))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', T_max=90, eta_min=1e-6, by_epoch=True, begin=10, end=100, convert_to_iter_based=True
    ),
]
train_cfg = dict(max_epochs=100, val_interval=50)
default_hooks = dict(checkpoint=dict(interval=100))
