"""ViT-S fine-tuned with 1 % of the labels, from the first layer of the projection head (POA, sec. 4)."""

_base_ = ['_base_/vit_projection.py', '_base_/semi.py']

from poa_mm.extraction import fill_in

subnet = 'S'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmpretrain')
