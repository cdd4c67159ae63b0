"""Mask R-CNN, 12 epochs of COCO, with ResNet-50 out of a checkpoint: the quick version.

tools/extract.py CHECKPOINT --subnets R50 --format mmdet --out subnets/mmdet
tools/dist_train.sh configs/coco/mask_rcnn_r50_1x.py 8
"""

_base_ = ['_base_/mask_rcnn.py', '_base_/coco_instance.py', '_base_/schedule_1x.py', '_base_/runtime.py']

# Sizes that ResNet cannot say: docs/detection.md.
subnet = dict(depth=50, checkpoint='subnets/mmdet/R50.pth')

model = dict(
    backbone=dict(
        type='ResNet',
        depth=subnet['depth'],
        norm_cfg=dict(type='GN', num_groups=32, requires_grad=True),
        norm_eval=False,
        with_cp=False,
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)

# Learning rate and layer decay are ours: the paper gives them for ViT-S and B only.
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.9))
