"""Mask R-CNN with ResNet-50, 12 epochs of COCO; optimizer settings are ours."""

_base_ = ['_base_/mask_rcnn.py', '_base_/schedule_1x.py']

from poa_mm.extraction import fill_in

subnet = 'R50'
model = fill_in(_base_.model, 'poa_resnet152', subnet, 'mmdet')
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.9))
