"""ResNet-50 fine-tuned with 1 % of ImageNet's labels, from the first layer of the projection head (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets R50 --out subnets
tools/dist_train.sh configs/eval/semi_1percent_resnet50.py 8 --cfg-options model.neck.checkpoint=CHECKPOINT

Epochs and learning rate are the paper's, warm-up and augmentation ours: it does not tell them.
"""

_base_ = 'semi_1percent_vits.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        norm_cfg=dict(type='GN', num_groups=32),
        init_cfg=dict(type='Pretrained', checkpoint='subnets/R50.pth'),
    ),
    neck=dict(in_channels=2048),
)
