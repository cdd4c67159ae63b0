"""Table 5, V1: no intact student, and the teacher runs through the sub-network drawn for the elastic student."""

_base_ = '../poa_vitl.py'

model = dict(students=('elastic',), teachers=('elastic',), intact_weight=0.0)
model_wrapper_cfg = dict(find_unused_parameters=True)  # blocks that no process has drawn
