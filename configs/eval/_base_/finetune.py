"""What all fine-tuning on ImageNet-1K shares (POA, tables 8 and 10); the config gives learning rate and layer decay."""

_base_ = ['images_224.py', 'runtime.py']

# The learning rate is for 1024 images a step, 128 on each of 8 GPUs; any other batch changes it in proportion.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=128, base_batch_size=1024),
    # As the authors' program does; 'backbone.conv1' is a ResNet's stem. scaled_lr needs the extracted file: training
    # from scratch sets it to False.
    paramwise_cfg=dict(scaled_lr=True, fine_tuning_ids=True, no_decay=['pos_embed', 'cls_token', 'backbone.conv1']),
)
default_hooks = dict(
    # The program keeps 0.7 of the averaged weights at every step, and reports them at their best epoch.
    ema=dict(type='EMAHook', momentum=0.3),
    checkpoint=dict(save_best='accuracy/top1'),
)
