"""A tenth of the images of small data and ten times as many epochs: as many steps."""

_base_ = 'finetune_small.py'

train_dataloader = dict(dataset=dict(fraction=0.1))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', T_max=90, eta_min=1e-6, by_epoch=True, begin=10, end=100, convert_to_iter_based=True
    ),
]
train_cfg = dict(max_epochs=100, val_interval=50)
default_hooks = dict(checkpoint=dict(interval=100))
