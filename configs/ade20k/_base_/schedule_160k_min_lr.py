"""The same with a smallest learning rate of 1e-7."""

_base_ = 'schedule_160k.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=1e-7, by_epoch=False, begin=0, end=160000),
]
