"""Flowers-102, 102 classes."""

_base_ = 'transfer.py'

data_root = 'data/Flowers102'
model = dict(data_preprocessor=dict(num_classes=102), head=dict(num_classes=102))

train_dataloader = dict(dataset=dict(type='Flowers102', data_root=data_root, split='trainval'))
val_dataloader = dict(dataset=dict(type='Flowers102', data_root=data_root, split='test'))
test_dataloader = val_dataloader
