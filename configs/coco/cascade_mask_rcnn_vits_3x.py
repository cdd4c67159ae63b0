"""Cascade Mask R-CNN with ViT-S, 36 epochs of COCO (POA, sec. 4)."""

_base_ = ['_base_/cascade_mask_rcnn_vit.py', '_base_/schedule_3x.py']

from poa_mm.extraction import fill_in

subnet = 'S'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmdet', drop_path_rate=0.1, img_size=(800, 1008))
optim_wrapper = dict(optimizer=dict(lr=3e-4), paramwise_cfg=dict(layer_decay_rate=0.7))
