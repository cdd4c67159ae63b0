"""Stanford Cars, 196 classes."""

_base_ = 'transfer.py'

data_root = 'data/Stanford_Cars'
model = dict(data_preprocessor=dict(num_classes=196), head=dict(num_classes=196))

train_dataloader = dict(dataset=dict(type='StanfordCars', data_root=data_root, split='train'))
val_dataloader = dict(dataset=dict(type='StanfordCars', data_root=data_root, split='test'))
test_dataloader = val_dataloader
