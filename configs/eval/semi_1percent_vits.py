"""ViT-S fine-tuned with 1 % of ImageNet's labels, from the first layer of the projection head (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets S --out subnets
tools/dist_train.sh configs/eval/semi_1percent_vits.py 8
"""

_base_ = ['_base_/vit.py', '_base_/semi.py']

subnet = dict(width=384, depth=12, checkpoint='subnets/S.pth')

model = dict(
    backbone=dict(
        arch=dict(
            embed_dims=subnet['width'],
            num_layers=subnet['depth'],
            num_heads=subnet['width'] // 64,
            feedforward_channels=subnet['width'] * 4,
        ),
        drop_path_rate=0.1,
        init_cfg=dict(checkpoint=subnet['checkpoint']),
    ),
    # The checkpoint that the network was extracted from; None starts this layer untrained.
    neck=dict(
        _delete_=True,
        type='poa_mm.ProjectionLayer',
        in_channels=subnet['width'],
        hidden_dims=2048,
        checkpoint='work_dirs/poa_vitl/iter_1107200.pth',
    ),
    head=dict(_delete_=True, type='LinearClsHead', num_classes=1000, in_channels=2048),
    train_cfg=None,
)
