default_scope = 'mmdet'
# Importing poa_mm also gives mmdet the operators that mmcv lacks where it was not compiled (docs/detection.md).
# The class of the data needs mmdet; where that is missing, the command says so by itself.
custom_imports = dict(imports=['poa_mm', 'poa_mm.datasets.coco'], allow_failed_imports=True)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    progress=dict(type='poa_mm.ProgressHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='poa_mm.AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
    backbone_check=dict(type='poa_mm.BackboneCheckHook'),
    dataset_check=dict(type='poa_mm.DatasetCheckHook'),
    batch_size_check=dict(type='poa_mm.BatchSizeCheckHook', min_batch_size=1),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False
