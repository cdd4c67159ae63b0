"""Table 18, S = 2: small sub-networks are drawn up to 4 times as often as large ones, in place of 9 times."""

_base_ = '../poa_vitl.py'

model = dict(sampler=dict(width_strength=2, depth_strength=2))
