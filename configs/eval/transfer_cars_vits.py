"""ViT-S fine-tuned on Stanford Cars (POA, table 12)."""

_base_ = '_base_/transfer_cars.py'

from poa_mm.extraction import fill_in

subnet = 'S'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmpretrain')
optim_wrapper = dict(optimizer=dict(lr=4e-4), paramwise_cfg=dict(layer_decay_rate=0.8))
