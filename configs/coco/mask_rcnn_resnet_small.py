"""Small data, a CPU: Mask R-CNN with a sub-network of configs/poa_resnet_small.py.

tools/extract.py work_dirs/poa_resnet_small/iter_1000.pth --subnets 16x1-1-2 32x1-2-5 --format mmdet --out subnets/mmdet
tools/train.py configs/coco/mask_rcnn_resnet_small.py --cfg-options data_root=data/my_photographs
From scratch: --cfg-options model.backbone.init_cfg=None
"""

_base_ = ['_base_/mask_rcnn_small.py', '_base_/coco_small.py', '_base_/runtime_small.py']

# Another size is another line here: width=32, depth=(1, 2, 5), checkpoint='subnets/mmdet/32x1-2-5.pth'.
subnet = dict(width=16, depth=(1, 1, 2), checkpoint='subnets/mmdet/16x1-1-2.pth')

model = dict(
    backbone=dict(
        type='poa_mm.StaticResNet',
        stage_blocks=subnet['depth'],
        mid_channels=subnet['width'],
        out_channels=64,
        stem_channels=32,
        norm_cfg=dict(type='GN', num_groups=8),
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    neck=dict(in_channels=[64, 128, 256]),
)
