"""ResNet-50 fine-tuned with 1 % of ImageNet's labels, from the first layer of the projection head (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets R50 --out subnets
tools/dist_train.sh configs/eval/semi_1percent_resnet50.py 8
"""

_base_ = ['_base_/resnet.py', '_base_/semi.py']

subnet = dict(depth=50, checkpoint='subnets/R50.pth')

model = dict(
    backbone=dict(depth=subnet['depth'], out_indices=(3,), init_cfg=dict(checkpoint=subnet['checkpoint'])),
    # The checkpoint that the network was extracted from; None starts this layer untrained.
    neck=dict(
        _delete_=True,
        type='poa_mm.ProjectionLayer',
        in_channels=2048,
        hidden_dims=2048,
        checkpoint='work_dirs/poa_resnet152/iter_2768000.pth',
    ),
    head=dict(_delete_=True, type='LinearClsHead', num_classes=1000, in_channels=2048),
    train_cfg=None,
)
