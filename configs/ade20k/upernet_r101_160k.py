"""UPerNet with ResNet-101 on ADE20K; optimizer settings are ours."""

_base_ = ['_base_/upernet.py', '_base_/schedule_160k.py']

from poa_mm.extraction import fill_in

subnet = 'R101'
model = fill_in(_base_.model, 'poa_resnet152', subnet, 'mmseg')
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.9))
