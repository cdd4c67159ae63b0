"""Mask R-CNN with a sub-network of configs/poa_swin_small.py, small data, a CPU."""

_base_ = ['_base_/mask_rcnn_small.py', '_base_/schedule_small.py']

from poa_mm.extraction import fill_in

subnet = '24x2'
model = fill_in(_base_.model, 'poa_swin_small', subnet, 'mmdet')
