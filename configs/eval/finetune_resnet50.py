"""ResNet-50 out of a checkpoint, fine-tuned on ImageNet-1K (POA, sec. 4).

tools/extract.py CHECKPOINT --subnets R50 --out subnets
tools/dist_train.sh configs/eval/finetune_resnet50.py 8
"""

_base_ = ['_base_/resnet.py', '_base_/finetune.py', '_base_/epochs_100.py']

subnet = dict(depth=50, checkpoint='subnets/R50.pth')

model = dict(backbone=dict(depth=subnet['depth'], init_cfg=dict(checkpoint=subnet['checkpoint'])))
optim_wrapper = dict(optimizer=dict(lr=0.0014), paramwise_cfg=dict(layer_decay_rate=0.6))
