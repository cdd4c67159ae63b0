"""Table 5, V3: POA and a teacher run through the drawn sub-network, which teaches the elastic student too."""

_base_ = '../poa_vitl.py'

model = dict(teachers=('intact', 'elastic'))
