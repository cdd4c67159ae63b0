"""Swin-B fine-tuned on ImageNet-1K (POA, sec. 4)."""

_base_ = ['_base_/swin.py', '_base_/finetune_512.py', '_base_/epochs_50_of_200.py']

from poa_mm.extraction import fill_in

subnet = 'B'
model = fill_in(_base_.model, 'poa_swinb', subnet, 'mmpretrain')
optim_wrapper = dict(optimizer=dict(lr=0.0007), paramwise_cfg=dict(layer_decay_rate=0.55))
