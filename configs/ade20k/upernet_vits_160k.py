"""UPerNet with ViT-S on ADE20K (POA, sec. 4)."""

_base_ = ['_base_/upernet_vit.py', '_base_/schedule_160k.py']

from poa_mm.extraction import fill_in

subnet = 'S'
model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmseg', drop_path_rate=0.1)
optim_wrapper = dict(optimizer=dict(lr=6e-5), paramwise_cfg=dict(layer_decay_rate=0.8))
