"""Cascade Mask R-CNN with Swin-B, 36 epochs of COCO; optimizer settings are ours."""

_base_ = ['_base_/cascade_mask_rcnn.py', '_base_/schedule_3x.py']

from poa_mm.extraction import fill_in

subnet = 'B'
model = fill_in(_base_.model, 'poa_swinb', subnet, 'mmdet', drop_path_rate=0.3)
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.85))
