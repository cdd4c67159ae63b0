"""Table 16: products with sliced weights are not scaled."""

_base_ = '../poa_vitl.py'

model = dict(backbone=dict(scaled=False), head=dict(scaled=False))
