"""Table 17: another weight of the intact student (0.6 to 0.9 in the paper)."""

_base_ = '../poa_vitl.py'

model = dict(intact_weight=0.6)
