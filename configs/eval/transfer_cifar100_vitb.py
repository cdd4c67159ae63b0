"""ViT-B fine-tuned on CIFAR-100 (POA, table 12)."""

_base_ = '_base_/transfer_cifar100.py'

from poa_mm.extraction import fill_in

subnet = 'B'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmpretrain')
optim_wrapper = dict(optimizer=dict(lr=7.5e-6), paramwise_cfg=dict(layer_decay_rate=0.8))
