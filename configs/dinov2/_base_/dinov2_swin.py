"""The same with a Swin; its backbone is that of poa_swinb.py."""

_base_ = 'dinov2_vit.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ElasticSwinTransformer',
        img_size=224,
        patch_size=4,
        window_size=7,
        stage_depths=(2, 2, None, 2),
        head_dim=16,
        drop_path_rate=0.3,
    ),
)
