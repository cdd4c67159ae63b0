"""600 iterations of 4 images, without validation on the way."""

_base_ = ['coco_small.py', 'runtime.py']

steps = 600
warmup = min(50, 1 + steps // 3)
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=10.0),
    lr_scaling=dict(rule='linear', batch_size=4, base_batch_size=4),
    paramwise_cfg=dict(
        layer_decay_rate=0.8,
        no_decay=['pos_embed', 'cls_token', 'relative_position_bias_table'],
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=warmup),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=warmup, end=steps, T_max=steps - warmup, eta_min=1e-5),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=steps)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=steps, max_keep_ckpts=1),
)
log_processor = dict(window_size=20, by_epoch=False)
