"""CIFAR-100, 100 classes."""

_base_ = 'transfer.py'

data_root = 'data/cifar100'
model = dict(data_preprocessor=dict(num_classes=100), head=dict(num_classes=100))

# These images come in memory and in RGB; those read from files are BGR.
to_bgr = dict(type='PILToNumpy', to_bgr=True)
train_pipeline = [to_bgr, *_base_.train_pipeline[1:]]
test_pipeline = [to_bgr, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(type='CIFAR100', data_root=data_root, split='train', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type='CIFAR100', data_root=data_root, split='test', pipeline=test_pipeline))
test_dataloader = val_dataloader
