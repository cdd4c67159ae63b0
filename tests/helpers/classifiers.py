"""Tiny trained classifiers of mmpretrain: one declaration for all tests."""

import torch
from mmengine.config import Config

from poa_mm.registry import MODELS


def classifier_config(embed_dims: int = 16, classes: int = 8) -> dict:
    """The config of a tiny ViT for images of 16 px."""
    return dict(
        model=dict(
            type='ImageClassifier',
            backbone=dict(
                type='VisionTransformer',
                arch=dict(embed_dims=embed_dims, num_layers=2, num_heads=2, feedforward_channels=32),
                img_size=16,
                patch_size=8,
            ),
            head=dict(type='VisionTransformerClsHead', num_classes=classes, in_channels=embed_dims),
            train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
        ),
        data_preprocessor=dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0], to_rgb=True),
        test_dataloader=dict(
            dataset=dict(pipeline=[dict(type='ResizeEdge', scale=20), dict(type='CenterCrop', crop_size=16)])
        ),
    )


def save_classifier(file: str, config: dict) -> torch.nn.Module:
    """Write a checkpoint of it with random weights, as MMEngine does; returns the model."""
    torch.manual_seed(3)
    model = MODELS.build({**config['model'], '_scope_': 'mmpretrain', 'train_cfg': None})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save(dict(meta=dict(cfg=Config(config).pretty_text), state_dict=model.state_dict()), file)
    return model.eval()
