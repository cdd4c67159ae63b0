"""Cascade Mask R-CNN with ResNet-101, 36 epochs of COCO; optimizer settings are ours."""

_base_ = ['_base_/cascade_mask_rcnn.py', '_base_/schedule_3x.py']

from poa_mm.extraction import fill_in

subnet = 'R101'
model = fill_in(_base_.model, 'poa_resnet152', subnet, 'mmdet')
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.95))
