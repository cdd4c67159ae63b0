"""Swin-T out of a checkpoint, UPerNet on ADE20K.

The paper gives no settings for Swin: lr and drop path are those of mmseg, the layer decay is ours.

tools/extract.py CHECKPOINT --subnets T --format mmseg --out subnets/mmseg
tools/dist_train.sh configs/ade20k/upernet_swint_160k.py 8
"""

_base_ = ['_base_/runtime.py', '_base_/ade20k_512.py', '_base_/schedule_160k.py', '_base_/upernet_swin.py']

# The depth is that of the third stage.
subnet = dict(width=96, depth=6, checkpoint='subnets/mmseg/T.pth')

model = dict(
    backbone=dict(
        embed_dims=subnet['width'],
        depths=[2, 2, subnet['depth'], 2],
        num_heads=[subnet['width'] // 16, subnet['width'] // 8, subnet['width'] // 4, subnet['width'] // 2],
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    decode_head=dict(in_channels=[subnet['width'], subnet['width'] * 2, subnet['width'] * 4, subnet['width'] * 8]),
    auxiliary_head=dict(in_channels=subnet['width'] * 4),
)
optim_wrapper = dict(optimizer=dict(lr=6e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
