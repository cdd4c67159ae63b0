"""Table 5, V2: no intact student; the teacher stays intact."""

_base_ = '../poa_vitl.py'

model = dict(students=('elastic',), teachers=('intact',), intact_weight=0.0)
