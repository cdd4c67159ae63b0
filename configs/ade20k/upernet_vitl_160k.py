"""UPerNet with ViT-L on ADE20K; not in the paper: ViT-B's settings with more drop path."""

_base_ = ['_base_/upernet_vit.py', '_base_/schedule_160k_min_lr.py']

from poa_mm.extraction import fill_in

subnet = 'L'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmseg', drop_path_rate=0.2)
optim_wrapper = dict(optimizer=dict(lr=4e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
