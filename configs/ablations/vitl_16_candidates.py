"""Table 19: 4 widths x 4 depths are drawn; the intact network is wider than all of them."""

_base_ = '../poa_vitl.py'

model = dict(
    backbone=dict(widths=[384, 576, 768, 960, 1024], depths=(12, 24, 4)),
    sampler=dict(widths=[384, 576, 768, 960]),
)
