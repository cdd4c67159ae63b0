"""The small-data recipe for one size alone: the baseline of poa_swin_small.py. Here its largest network."""

_base_ = 'poa_swin_small.py'

model = dict(students=('intact',), intact_weight=1.0)
