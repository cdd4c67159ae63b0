"""A trained ViT of one size becomes 20 networks in a tenth of the steps of poa_vit_small.py.

poa import work_dirs/single_vit_small/iter_1000.pth configs/continue_vit_small.py --out work_dirs/import/vit_small.pth \
  --reorder firstorder --images data/my_images
poa train configs/continue_vit_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = 'poa_vit_small.py'

steps = 100

# Teacher and student start as the imported network: see docs/make_elastic.md.
load_from = 'work_dirs/import/vit_small.pth'

# Temperature as measured in docs/make_elastic.md; sharper targets have not been tried here.
model = dict(schedule=dict(temp_start=0.04, temp_final=0.04, patch_loss_start=0))
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    dict(type='CosineLR', steps=steps, warmup=steps // 10, final=2e-5),
    dict(type='CosineWeightDecay', steps=steps, final=0.4),
]
train_cfg = dict(max_iters=steps)
default_hooks = dict(
    # The teacher, which is extracted, must get through with its student in so few steps.
    teacher=dict(start=0.95, final=0.99, steps=steps),
    freeze_last_layer=dict(steps=steps // 10),
)
