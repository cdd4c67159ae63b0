"""Small data, a CPU: Mask R-CNN with a sub-network of configs/poa_vit_small.py.

tools/extract.py work_dirs/poa_vit_small/iter_1000.pth --subnets 96x4 192x8 --format mmdet --out subnets/mmdet
tools/train.py configs/coco/mask_rcnn_vit_small.py --cfg-options data_root=data/my_photographs
From scratch: --cfg-options model.backbone.init_cfg=None
"""

_base_ = ['_base_/mask_rcnn_small.py', '_base_/coco_small.py', '_base_/runtime_small.py']

# Another size is another line here: width=192, depth=8, checkpoint='subnets/mmdet/192x8.pth'.
subnet = dict(width=96, depth=4, checkpoint='subnets/mmdet/96x4.pth')

# Maps of 12 px patches: strides 3, 6, 12 and 24.
model = dict(
    data_preprocessor=dict(pad_size_divisor=24),
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 32,
            feedforward_channels=subnet['width'] * 4,
        ),
        img_size=264,
        patch_size=12,
        layer_scale_init_value=0.1,
        out_type='featmap',
        final_norm=False,
        # A quarter, a half and three quarters of the way, and the last.
        out_indices=[
            subnet['depth'] // 4 - 1,
            subnet['depth'] // 2 - 1,
            subnet['depth'] * 3 // 4 - 1,
            subnet['depth'] - 1,
        ],
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    neck=[
        dict(type='poa_mm.ViTPyramid', embed_dims=subnet['width'], norm_cfg=dict(type='BN')),
        dict(type='FPN', in_channels=[subnet['width']] * 4, out_channels=64, num_outs=5),
    ],
    rpn_head=dict(anchor_generator=dict(strides=[3, 6, 12, 24, 48])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[3, 6, 12, 24]),
        mask_roi_extractor=dict(featmap_strides=[3, 6, 12, 24]),
    ),
)
