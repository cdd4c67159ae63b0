"""iNaturalist 2018, 8142 classes."""

_base_ = 'transfer_inat.py'

data_root = 'data/inaturalist18'
model = dict(data_preprocessor=dict(num_classes=8142), head=dict(num_classes=8142))

train_dataloader = dict(dataset=dict(type='poa_mm.INaturalist', data_root=data_root, ann_file='train2018.json'))
val_dataloader = dict(
    dataset=dict(type='poa_mm.INaturalist', data_root=data_root, ann_file='val2018.json', test_mode=True)
)
test_dataloader = val_dataloader
