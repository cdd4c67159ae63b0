"""A sub-network of configs/poa_swin_small.py fine-tuned on small data."""

_base_ = ['_base_/swin_small.py', '_base_/finetune_small.py']

from poa_mm.extraction import fill_in

subnet = '24x2'
model = fill_in(_base_.model, 'poa_swin_small', subnet, 'mmpretrain')
