"""Mask R-CNN with ViT-B, 12 epochs of COCO; optimizer settings of the paper's Cascade Mask R-CNN."""

_base_ = ['_base_/mask_rcnn_vit.py', '_base_/schedule_1x.py']

from poa_mm.extraction import fill_in

subnet = 'B'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmdet', drop_path_rate=0.2)
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.65))
