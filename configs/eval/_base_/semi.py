"""What fine-tuning with 1 % or 10 % of ImageNet's labels shares (POA, table 9); the length of the warm-up is ours."""

_base_ = ['images_224.py', 'runtime.py']

# A draw of as many images of every class. The paper's lists are SimCLR's: --cfg-options
# train_dataloader.dataset.list_file=1percent.txt
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='poa_mm.LabelFraction',
        fraction=0.01,
        seed=0,
        dataset=dict(type='ImageNet', data_root=_base_.data_root, split='train', pipeline=_base_.train_pipeline),
    )
)

# The learning rate is for 1024 images a step, 128 on each of 8 GPUs; any other batch changes it in proportion.
optim_wrapper = dict(
    type='poa_mm.PoaOptimWrapper',
    constructor='poa_mm.LayerDecayOptimWrapperConstructor',
    amp_dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=1e-5, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    lr_scaling=dict(rule='linear', batch_size=128, base_batch_size=1024),
    paramwise_cfg=dict(scaled_lr=True, no_decay=['pos_embed', 'cls_token', 'backbone.conv1']),
)
# The program's smallest learning rate is its largest: constant after the warm-up.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=1000, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=50, save_best='accuracy/top1'))
