"""A ViT out of a poa_vit_small.py checkpoint, fine-tuned on small data.

tools/extract.py CHECKPOINT --subnets 96x4 --out subnets
tools/train.py configs/eval/finetune_vit_small.py --cfg-options data_root=data/my_images

From scratch: --cfg-options model.backbone.init_cfg=None
"""

_base_ = '_base_/finetune_small.py'

subnet = dict(width=96, depth=4, checkpoint='subnets/96x4.pth')

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 32,
            feedforward_channels=subnet['width'] * 4,
        ),
        img_size=96,
        patch_size=12,
        layer_scale_init_value=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=subnet['width']),
)
