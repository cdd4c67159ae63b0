"""ViT-S fine-tuned with 1 % of ImageNet's labels, from the first layer of the projection head (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets S --out subnets
tools/dist_train.sh configs/eval/semi_1percent_vits.py 8 --cfg-options model.neck.checkpoint=CHECKPOINT

Epochs and learning rate are the paper's, warm-up and augmentation ours: it does not tell them.
"""

_base_ = ['_base_/images_224.py', '_base_/runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536),
        img_size=224,
        patch_size=16,
        layer_scale_init_value=1e-5,
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='subnets/S.pth'),
    ),
    # Set it to the checkpoint that the network was extracted from; None starts that layer untrained.
    neck=dict(type='poa_mm.ProjectionLayer', in_channels=384, hidden_dims=2048, checkpoint=None),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=2048),
)

# Few labels need no strong augmentation for 1000 epochs: crop and flip.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
# A draw of as many images of every class; list_file='1percent.txt' in place of fraction takes a published list.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='poa_mm.LabelFraction',
        fraction=0.01,
        seed=0,
        dataset=dict(type='ImageNet', data_root='data/imagenet', split='train', pipeline=train_pipeline),
    )
)

# The learning rate is for a batch of 512.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=5e-6, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=128, base_batch_size=512),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=995, eta_min=0, by_epoch=True, begin=5, end=1000, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=1000, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=50))
