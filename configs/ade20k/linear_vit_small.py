"""A linear classifier on a frozen sub-network of configs/poa_vit_small.py, a few photographs."""

_base_ = ['_base_/linear_vit_small.py', '_base_/schedule_small.py']

from poa_mm.extraction import fill_in

subnet = '192x8'
model = fill_in(_base_.model, 'poa_vit_small', subnet, 'mmseg')
