"""ResNet-101 out of a checkpoint, UPerNet on ADE20K.

The paper gives no settings for ResNet: learning rate and layer decay are ours.

tools/extract.py CHECKPOINT --subnets R101 --format mmseg --out subnets/mmseg
tools/dist_train.sh configs/ade20k/upernet_r101_160k.py 8
"""

_base_ = ['_base_/runtime.py', '_base_/ade20k_512.py', '_base_/schedule_160k.py', '_base_/upernet_resnet.py']

subnet = dict(depth=101, checkpoint='subnets/mmseg/R101.pth')

model = dict(backbone=dict(depth=subnet['depth'], init_cfg=dict(checkpoint=subnet['checkpoint'])))
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=0.9))
