"""Table 17: a weight of 0.9 for the intact student."""

_base_ = '../poa_vitl.py'

model = dict(intact_weight=0.9)
