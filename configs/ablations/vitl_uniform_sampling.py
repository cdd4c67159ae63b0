"""Table 18, S = 1: every sub-network is drawn equally often."""

_base_ = '../poa_vitl.py'

model = dict(sampler=dict(width_strength=1, depth_strength=1))
