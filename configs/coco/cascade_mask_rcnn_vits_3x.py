"""Cascade Mask R-CNN, 36 epochs of COCO, with ViT-S out of a checkpoint (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets S --format mmdet --out subnets/mmdet
tools/dist_train.sh configs/coco/cascade_mask_rcnn_vits_3x.py 8
"""

_base_ = ['_base_/cascade_mask_rcnn.py', '_base_/coco_instance.py', '_base_/schedule_3x.py', '_base_/runtime.py']

# Another size, say 576x15, is another line here: width=576, depth=15, checkpoint='subnets/mmdet/576x15.pth'.
subnet = dict(width=384, depth=12, checkpoint='subnets/mmdet/S.pth')

model = dict(
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 64,
            feedforward_channels=subnet['width'] * 4,
        ),
        # Positions are resized to this once, when they are loaded, and to every image as it comes.
        img_size=800,
        patch_size=16,
        layer_scale_init_value=1e-5,
        drop_path_rate=0.1,
        out_type='featmap',
        final_norm=False,
        # Blocks 4, 6, 8 and 12 of 12, counted from 1.
        out_indices=[
            subnet['depth'] * 4 // 12 - 1,
            subnet['depth'] * 6 // 12 - 1,
            subnet['depth'] * 8 // 12 - 1,
            subnet['depth'] - 1,
        ],
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    neck=[
        dict(type='poa_mm.ViTPyramid', embed_dims=subnet['width'], norm_cfg=dict(type='SyncBN')),
        dict(type='FPN', in_channels=[subnet['width']] * 4, out_channels=256, num_outs=5),
    ],
)

# Learning rate, layer decay and drop path of the paper.
optim_wrapper = dict(optimizer=dict(lr=3e-4), paramwise_cfg=dict(layer_decay_rate=0.7))
