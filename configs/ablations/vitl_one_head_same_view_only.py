"""Table 3, row 3: one head, and the elastic student learns from the intact student alone."""

_base_ = '../poa_vitl.py'

model = dict(head=dict(num_prototypes=(65536,)), loss_weights=dict(cross_view=0.0))
