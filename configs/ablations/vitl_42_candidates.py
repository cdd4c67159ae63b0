"""Table 19: 6 widths x 7 depths in place of 11 x 13."""

_base_ = '../poa_vitl.py'

model = dict(backbone=dict(widths=(384, 1024, 128), depths=(12, 24, 2)))
