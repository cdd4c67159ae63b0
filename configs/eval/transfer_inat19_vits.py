"""ViT-S out of a checkpoint, fine-tuned on iNaturalist 2019 (POA, table 12).

tools/extract.py CHECKPOINT --subnets S --out subnets
tools/dist_train.sh configs/eval/transfer_inat19_vits.py 8
"""

_base_ = '_base_/transfer_inat.py'

subnet = dict(width=384, depth=12, checkpoint='subnets/S.pth')

model = dict(
    backbone=dict(
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 64,
            feedforward_channels=subnet['width'] * 4,
        ),
        drop_path_rate=0.1,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    head=dict(num_classes=1010, in_channels=subnet['width']),
)
data_preprocessor = dict(num_classes=1010)

data_root = 'data/inaturalist19'
train_dataloader = dict(
    dataset=dict(type='poa_mm.INaturalist', data_root=data_root, ann_file='train2019.json'),
)
val_dataloader = dict(
    dataset=dict(type='poa_mm.INaturalist', data_root=data_root, ann_file='val2019.json', test_mode=True),
)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=2.5e-05))
