"""UPerNet with a sub-network of configs/poa_resnet_small.py on a few photographs."""

_base_ = ['_base_/upernet_small.py', '_base_/schedule_small.py']

from poa_mm.extraction import fill_in

subnet = '32x1-2-5'
model = fill_in(_base_.model, 'poa_resnet_small', subnet, 'mmseg')
