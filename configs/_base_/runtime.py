default_scope = 'poa_mm'

default_hooks = dict(
    runtime_info=dict(type='LazyRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    finite_check=dict(type='FiniteCheckHook', limit=50),
    collapse=dict(type='CollapseHook', interval=10),
    logger=dict(type='LoggerHook', interval=50),
    progress=dict(type='ProgressHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    first_batch=dict(type='FirstBatchHook', number=6),
    warm_up=dict(type='WarmUpHook'),
)
log_processor = dict(by_epoch=False, window_size=50)
log_level = 'INFO'

vis_backends = [dict(type='LocalVisBackend')]  # poa train --vis tensorboard wandb adds others
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
model_wrapper_cfg = dict(
    type='MMDistributedDataParallel',
    broadcast_buffers=False,
    find_unused_parameters=False,  # every parameter has a gradient in every step, if there is an intact student
    gradient_as_bucket_view=True,  # no second copy of the gradients
    bucket_cap_mb=100,  # fewer and larger messages than with 25
)
randomness = dict(seed=0)

load_from = None
resume = False
