"""A tenth of the images of small data and ten times as many epochs: as many steps."""

_base_ = 'finetune_small.py'

train_dataloader = dict(dataset=dict(fraction=0.1))
epochs = 100
warmup = epochs // 10
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=warmup, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup,
        eta_min=1e-6,
        by_epoch=True,
        begin=warmup,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs, val_interval=epochs // 2)
default_hooks = dict(checkpoint=dict(interval=epochs))
