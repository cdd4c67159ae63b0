"""A Swin out of a poa_swin_small.py checkpoint, fine-tuned on small data; see finetune_vit_small.py."""

_base_ = '_base_/finetune_small.py'

subnet = dict(width=24, depth=2, checkpoint='subnets/24x2.pth')

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='SwinTransformer',
        arch=dict(
            embed_dims=subnet['width'],
            depths=[1, 1, subnet['depth']],
            num_heads=[subnet['width'] // 8, subnet['width'] // 4, subnet['width'] // 2],
        ),
        img_size=96,
        patch_size=4,
        window_size=6,
        pad_small_map=True,
        drop_path_rate=0.0,
        out_indices=(0, 1, 2),  # with the norms of all stages, as extracted; the head takes the last
        init_cfg=dict(type='Pretrained', checkpoint=subnet['checkpoint']),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=subnet['width'] * 4),
)
find_unused_parameters = True  # the norms of the other stages
