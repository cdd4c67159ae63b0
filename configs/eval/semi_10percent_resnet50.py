"""10 % of the labels; see semi_1percent_resnet50.py."""

_base_ = 'semi_1percent_resnet50.py'

train_dataloader = dict(dataset=dict(fraction=0.1))
