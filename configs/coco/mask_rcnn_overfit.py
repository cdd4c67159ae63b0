"""Can it learn at all? mask_rcnn_vit_small.py trained on eight photographs and tested on the same eight.

Box AP should pass 0.6 and mask AP 0.5; the network starts from random weights.

tools/train.py configs/coco/mask_rcnn_overfit.py --cfg-options data_root=data/my_photographs
"""

_base_ = 'mask_rcnn_vit_small.py'

images = 8
scale = (320, 320)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackDetInputs'),
]
# The truth after the resizing: in pixels of the photograph, as it is drawn and judged.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]
model = dict(backbone=dict(init_cfg=None))
train_dataloader = dict(dataset=dict(indices=images, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        indices=images,
        pipeline=test_pipeline,
    )
)
# Without a file, the truth is that of the images which were tested.
val_evaluator = dict(ann_file=None)
test_dataloader = val_dataloader
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(weight_decay=0.0), paramwise_cfg=dict(layer_decay_rate=1.0))
