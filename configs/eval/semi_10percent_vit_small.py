"""The same with a tenth of the labels, from the first layer of the projection head of configs/poa_vit_small.py."""

_base_ = ['_base_/vit_small_projection.py', '_base_/semi_small.py']

from poa_mm.extraction import fill_in

subnet = '96x4'
model = fill_in(_base_.model, 'poa_vit_small', subnet, 'mmpretrain')
