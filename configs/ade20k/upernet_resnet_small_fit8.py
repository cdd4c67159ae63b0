"""Whether UPerNet can learn at all: trained and tested on the same 8 photographs, it must know them by heart.

tools/train.py configs/ade20k/upernet_resnet_small_fit8.py --cfg-options data_root=data/ade_mini

For another network, change _base_. From scratch: --cfg-options model.backbone.init_cfg=None
"""

_base_ = 'upernet_resnet_small.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(960, 240), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(192, 192)),
    dict(type='PackSegInputs'),
]
# Here with all 150 classes: mmseg's mean leaves out those that neither the maps nor the predictions hold.
photographs = dict(
    metainfo=None,
    indices=[0, 30, 60, 90, 120, 150, 180, 210],
    data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
)
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline, **photographs))
val_dataloader = dict(dataset=photographs)
test_dataloader = dict(dataset=photographs)

model = dict(decode_head=dict(num_classes=150, dropout_ratio=0), auxiliary_head=None)
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=30, end=600),
]
train_cfg = dict(max_iters=600, val_interval=300)
