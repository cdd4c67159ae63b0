default_scope = 'mmseg'
custom_imports = dict(imports=['poa_mm'])

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    progress=dict(type='poa_mm.ProgressHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='poa_mm.AtomicCheckpointHook', by_epoch=False, interval=16000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
    backbone_check=dict(type='poa_mm.BackboneCheckHook'),
    label_map_check=dict(type='poa_mm.LabelMapCheckHook'),
    batch_size_check=dict(type='poa_mm.BatchSizeCheckHook', min_batch_size=1),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
randomness = dict(seed=0)
# Blocks whose activations are computed again in the backward pass, as ['backbone.layers.0', ...].
activation_checkpointing = None
load_from = None
resume = False
