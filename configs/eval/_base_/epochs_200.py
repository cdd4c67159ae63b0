"""200 epochs, the first tenth a warm-up."""

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(
        type='poa_mm.ProportionalCosineLR',
        T_max=180,
        eta_min=1e-6,
        by_epoch=True,
        begin=20,
        end=200,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=1)
