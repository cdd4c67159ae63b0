"""The same with 2048 images a step, 256 on each of 8 GPUs."""

_base_ = 'finetune.py'

train_dataloader = dict(batch_size=256)
optim_wrapper = dict(lr_scaling=dict(batch_size=256, base_batch_size=2048))
