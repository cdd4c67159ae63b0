"""Table 3, row 2: one projection head in place of four."""

_base_ = '../poa_vitl.py'

model = dict(head=dict(num_prototypes=(65536,)))
