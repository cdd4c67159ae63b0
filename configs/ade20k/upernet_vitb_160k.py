"""UPerNet with ViT-B on ADE20K (POA, sec. 4)."""

_base_ = ['_base_/upernet_vit.py', '_base_/schedule_160k_min_lr.py']

from poa_mm.extraction import fill_in

subnet = 'B'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmseg', drop_path_rate=0.15)
optim_wrapper = dict(optimizer=dict(lr=4e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
