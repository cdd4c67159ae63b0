"""Cascade Mask R-CNN, 36 epochs of COCO, with Swin-S out of a checkpoint (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets S --format mmdet --out subnets/mmdet
tools/dist_train.sh configs/coco/cascade_mask_rcnn_swins_3x.py 8
"""

_base_ = ['_base_/cascade_mask_rcnn.py', '_base_/coco_instance.py', '_base_/schedule_3x.py', '_base_/runtime.py']

# Another size, say 112x10, is another line here: width=112, depth=10, checkpoint='subnets/mmdet/112x10.pth'.
subnet = dict(width=96, depth=18, checkpoint='subnets/mmdet/S.pth')

model = dict(
    backbone=dict(
        type='SwinTransformer',
        embed_dims=subnet['width'],
        depths=[2, 2, subnet['depth'], 2],
        num_heads=[subnet['width'] // 16, subnet['width'] // 8, subnet['width'] // 4, subnet['width'] // 2],
        window_size=7,
        drop_path_rate=0.2,
        with_cp=False,
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    neck=dict(in_channels=[subnet['width'], subnet['width'] * 2, subnet['width'] * 4, subnet['width'] * 8]),
)

# Learning rate, layer decay and drop path are ours: the paper gives them for ViT-S and B only.
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.85))
