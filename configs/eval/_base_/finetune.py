"""What all fine-tuning on ImageNet-1K shares; the config gives learning rate and layer decay."""

_base_ = ['images_224.py', 'runtime.py']

# The learning rate is for a batch of 1024: 128 x 8 GPUs; any other batch changes it in proportion.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=128, base_batch_size=1024),
    paramwise_cfg=dict(no_decay=['pos_embed', 'cls_token', 'relative_position_bias_table']),
)
default_hooks = dict(ema=dict(type='EMAHook', momentum=4e-5))
