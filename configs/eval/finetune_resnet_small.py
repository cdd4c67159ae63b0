"""A ResNet out of a poa_resnet_small.py checkpoint, fine-tuned on small data; see finetune_vit_small.py."""

_base_ = '_base_/finetune_small.py'

subnet = dict(width=16, depth=(1, 1, 2), checkpoint='subnets/16x1-1-2.pth')

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='poa_mm.StaticResNet',
        stage_blocks=subnet['depth'],
        mid_channels=subnet['width'],
        out_channels=64,
        stem_channels=32,
        norm_cfg=dict(type='GN', num_groups=8),
        out_indices=(1, 2),
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    # The means of stages 2 and 3: 128 + 256.
    neck=dict(type='poa_mm.ConcatPool'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=384),
)
