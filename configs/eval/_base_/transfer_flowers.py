"""Flowers-102, 102 classes, split as in the authors' program: 1020 images to train and 1020 to test.

The usual split, 2040 and 6149 images: --cfg-options train_split=trainval val_split=test
"""

_base_ = 'transfer.py'

data_root = 'data/Flowers102'
train_split = 'train'
val_split = 'val'
model = dict(data_preprocessor=dict(num_classes=102), head=dict(num_classes=102))

train_dataloader = dict(dataset=dict(type='Flowers102', data_root=data_root, split=train_split))
val_dataloader = dict(dataset=dict(type='Flowers102', data_root=data_root, split=val_split))
test_dataloader = val_dataloader
