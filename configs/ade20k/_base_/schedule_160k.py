"""160 000 iterations of AdamW (POA, sec. 4); the config gives learning rate and layer decay."""

_base_ = ['ade20k_512.py', 'runtime.py']

# The learning rate is for a batch of 16: 2 x 8 GPUs; any other number of GPUs changes it in proportion.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', betas=(0.9, 0.999), weight_decay=0.05),
    lr_scaling=dict(rule='linear', batch_size=2, base_batch_size=16),
    paramwise_cfg=dict(no_decay=['pos_embed', 'cls_token', 'relative_position_bias_table']),
)
# Both from the first step on, as in the authors' program.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=0, end=160000),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=160000, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
