"""AdamW for all schedules of COCO; the config gives learning rate and layer decay."""

_base_ = ['coco_instance.py', 'runtime.py']

# The learning rate is for a batch of 16: 2 x 8 GPUs; any other batch changes it in proportion.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=2, base_batch_size=16),
    paramwise_cfg=dict(no_decay=['pos_embed', 'cls_token', 'relative_position_bias_table']),
)
