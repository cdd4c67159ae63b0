"""300 iterations of AdamW: minutes on a CPU."""

_base_ = ['ade20k_small.py', 'runtime.py']

steps = 300
warmup = min(30, 1 + steps // 3)
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    lr_scaling=dict(rule='linear', batch_size=8, base_batch_size=8),
    paramwise_cfg=dict(no_decay=['pos_embed', 'cls_token', 'relative_position_bias_table']),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=steps)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=steps),
)
