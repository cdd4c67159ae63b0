"""A sub-network of configs/poa_resnet_small.py fine-tuned on small data."""

_base_ = ['_base_/resnet_small.py', '_base_/finetune_small.py']

from poa_mm.extraction import fill_in

subnet = '16x1-1-2'
model = fill_in(_base_.model, 'poa_resnet_small', subnet, 'mmpretrain')
