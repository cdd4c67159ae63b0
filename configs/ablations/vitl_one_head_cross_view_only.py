"""Table 3, row 4: one head, and the elastic student learns from the teacher alone."""

_base_ = '../poa_vitl.py'

model = dict(head=dict(num_prototypes=(65536,)), loss_weights=dict(same_view=0.0))
