"""The same with 512 images a step, 64 on each of 8 GPUs."""

_base_ = 'finetune.py'

train_dataloader = dict(batch_size=64)
optim_wrapper = dict(lr_scaling=dict(batch_size=64, base_batch_size=512))
