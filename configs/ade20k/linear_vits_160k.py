"""A linear classifier on a frozen ViT-S, ADE20K (POA, sec. 4)."""

_base_ = ['_base_/linear_vit.py', '_base_/schedule_160k.py']

from poa_mm.extraction import fill_in

subnet = 'S'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmseg')
optim_wrapper = dict(optimizer=dict(lr=3e-5))
