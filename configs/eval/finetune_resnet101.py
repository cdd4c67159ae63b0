"""ResNet-101 fine-tuned on ImageNet-1K (POA, sec. 4)."""

_base_ = ['_base_/resnet.py', '_base_/finetune.py', '_base_/epochs_100_of_200.py']

from poa_mm.extraction import fill_in

subnet = 'R101'
model = fill_in(_base_.model, 'poa_resnet152', subnet, 'mmpretrain')
optim_wrapper = dict(optimizer=dict(lr=0.001), paramwise_cfg=dict(layer_decay_rate=0.4))
