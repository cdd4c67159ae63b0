"""A sub-network of configs/poa_vit_small.py fine-tuned on small data."""

_base_ = ['_base_/vit_small.py', '_base_/finetune_small.py']

from poa_mm.extraction import fill_in

subnet = '96x4'
model = fill_in(_base_.model, 'poa_vit_small', subnet, 'mmpretrain')
