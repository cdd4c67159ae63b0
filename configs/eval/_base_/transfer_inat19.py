"""iNaturalist 2019, 1010 classes."""

_base_ = 'transfer_inat.py'

data_root = 'data/inaturalist19'
model = dict(data_preprocessor=dict(num_classes=1010), head=dict(num_classes=1010))

train_dataloader = dict(dataset=dict(type='poa_mm.INaturalist', data_root=data_root, ann_file='train2019.json'))
val_dataloader = dict(
    dataset=dict(type='poa_mm.INaturalist', data_root=data_root, ann_file='val2019.json', test_mode=True)
)
test_dataloader = val_dataloader
