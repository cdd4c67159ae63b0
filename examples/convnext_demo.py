"""The demo of ``configs/poa_demo.py`` with the family of this folder: a small elastic ConvNeXt on generated images.

PYTHONPATH=. python tools/train.py examples/convnext_demo.py
"""

_base_ = '../configs/poa_demo.py'

custom_imports = dict(imports=['examples.elastic_convnext'])

# 3 widths x 3 depths = 9 networks
model = dict(
    backbone=dict(
        _delete_=True,
        type='ElasticConvNeXt',
        widths=(32, 64, 16),
        depths=(2, 4),
        stage_depths=(1, 1, 1),
        layer_scale_init_value=0.1,
    ),
)

# Masks need crops of whole positions of the last map (32 pixels), and have cells of 16 pixels.
train_dataloader = dict(
    collate_fn=dict(grid=(4, 4)),
    dataset=dict(views=dict(global_1=dict(size=64), global_2=dict(size=64), local=dict(size=32))),
)
