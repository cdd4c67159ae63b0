"""Small data, a CPU: Mask R-CNN with a sub-network of configs/poa_swin_small.py.

tools/extract.py work_dirs/poa_swin_small/iter_1000.pth --subnets 24x2 48x4 --format mmdet --out subnets/mmdet
tools/train.py configs/coco/mask_rcnn_swin_small.py --cfg-options data_root=data/my_photographs
From scratch: --cfg-options model.backbone.init_cfg=None
"""

_base_ = ['_base_/mask_rcnn_small.py', '_base_/coco_small.py', '_base_/runtime_small.py']

# Another size is another line here: width=48, depth=4, checkpoint='subnets/mmdet/48x4.pth'.
subnet = dict(width=24, depth=2, checkpoint='subnets/mmdet/24x2.pth')

model = dict(
    backbone=dict(
        type='SwinTransformer',
        embed_dims=subnet['width'],
        depths=[1, 1, subnet['depth']],
        num_heads=[subnet['width'] // 8, subnet['width'] // 4, subnet['width'] // 2],
        strides=(4, 2, 2),
        out_indices=(0, 1, 2),
        window_size=6,
        drop_path_rate=0.0,
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    neck=dict(in_channels=[subnet['width'], subnet['width'] * 2, subnet['width'] * 4]),
)
