"""What the two iNaturalist sets share: larger data, fewer epochs."""

_base_ = 'transfer.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type='poa_mm.ProportionalCosineLR',
        T_max=355,
        eta_min=1e-5,
        by_epoch=True,
        begin=5,
        end=360,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=360)
