"""UPerNet with Swin-S on ADE20K; learning rate and drop path are mmseg's, the layer decay is ours."""

_base_ = ['_base_/upernet.py', '_base_/schedule_160k.py']

from poa_mm.extraction import fill_in

subnet = 'S'
model = fill_in(_base_.model, 'poa_swinb', subnet, 'mmseg', drop_path_rate=0.3)
optim_wrapper = dict(optimizer=dict(lr=6e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
