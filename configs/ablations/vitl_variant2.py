"""Table 5, V2: no intact student; the teacher stays intact."""

_base_ = '../poa_vitl.py'

model = dict(students=('elastic',), teachers=('intact',), intact_weight=0.0)
model_wrapper_cfg = dict(find_unused_parameters=True)  # blocks that no process has drawn
