"""SEED for half as long: the 600 effective epochs of the paper's table 4; see seed_vitl_to_vits.py."""

_base_ = 'seed_vitl_to_vits.py'

steps = 300 * _base_.epoch
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=10 * _base_.epoch, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(max_iters=steps)
