"""DINOv2's ViT-L/14 becomes 143 networks in a tenth of the steps of poa_vitl.py.

poa import dinov2_vitl14_pretrain.pth configs/continue_vitl.py --out work_dirs/import/vitl.pth \
  --reorder firstorder --images data/imagenet/train
tools/dist_train.sh configs/continue_vitl.py 8

A ViT-L/16 of timm: --cfg-options model.backbone.patch_size=16 model.backbone.layer_scale_init_value=0
train_dataloader.collate_fn.grid="(14,14)" train_dataloader.dataset.views.local.size=96, in both commands
"""

_base_ = 'poa_vitl.py'

steps = 35 * _base_.epoch

# Teacher and student start as the imported network: see docs/make_elastic.md.
load_from = 'work_dirs/import/vitl.pth'

model = dict(backbone=dict(patch_size=14), schedule=dict(temp_steps=3 * _base_.epoch, patch_loss_start=0))
train_dataloader = dict(
    collate_fn=dict(grid=(16, 16)),
    dataset=dict(views=dict(local=dict(size=98))),
)

optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=_base_.epoch, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(max_iters=steps)
default_hooks = dict(
    # A trained teacher moves slowly from the start.
    teacher=dict(start=0.998, final=0.9999, steps=steps, run_fraction=1.0),
)
