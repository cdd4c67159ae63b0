"""Cascade Mask R-CNN with ViT-B, 36 epochs of COCO (POA, sec. 4)."""

_base_ = ['_base_/cascade_mask_rcnn_vit.py', '_base_/schedule_3x.py']

from poa_mm.extraction import fill_in

subnet = 'B'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmdet', drop_path_rate=0.2, img_size=(672, 1088))
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.65))
