"""Configs with two steps and small batches, whatever the command says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmengine.config import Config

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# Whose files have a format of their own, checksums, or a thousand classes.
PUBLISHED = ('ImageNet', 'CIFAR10', 'CIFAR100', 'Flowers102', 'StanfordCars', 'poa_mm.INaturalist')


def install() -> None:
    """Let every command read shrunk configs, of the current folder. Before anything imports ``load_config``."""
    import poa_mm.config as package
    from poa_mm.config import loading, recipes

    original = loading.load_config
    recipes.config_folder = lambda: Path('configs').resolve()

    def load_config(path: str, options: dict[str, Any], *args, **kwargs) -> Config:
        files = loading.config_files(str(loading.find_config(path)))
        # None of the config that a training has written, whose variables nothing uses.
        variables = set().union(*(file.assigned for file in files)) & set().union(*(f.used_names() for f in files))
        lengths = {'epoch': 1} if 'epoch' in variables else {'steps': 2}
        small = {**lengths, 'batch_size': 2, 'total_batch': 2}
        small = {name: value for name, value in small.items() if name in variables}
        cfg = original(path, {**options, **small}, *args, **kwargs)
        shrink(cfg)
        return cfg

    package.load_config = loading.load_config = load_config


def shrink(cfg: Config) -> None:
    """Two steps or one epoch, two images at a time, small images for detectors and segmentors."""
    for name in LOADERS:
        loader = cfg.get(name)
        if not loader:
            continue
        loader.num_workers = 0
        loader.pop('persistent_workers', None)
        loader.pop('prefetch_factor', None)
        replace_published(loader.dataset)
        if loader.dataset.get('indices'):
            loader.dataset.indices = 2
    train, hooks = cfg.get('train_cfg') or {}, cfg.get('default_hooks', {})
    if 'max_iters' in train:
        train.max_iters = min(2, train.max_iters)
        if 'val_interval' in train:
            train.val_interval = 2
        hooks.setdefault('checkpoint', {}).update(interval=2)
    elif train:
        train.update(max_epochs=1, val_interval=1)
        hooks.setdefault('checkpoint', {}).update(interval=1)
    for split, number in (('train', 20), ('val', 10)):
        if 'num_samples' in ((cfg.get('knn') or {}).get(split) or {}):
            cfg.knn[split].num_samples, cfg.knn.ks = number, (5, 10)
    if 'knn' in hooks:
        hooks.knn.update(interval=2, gallery=10, queries=4)  # as many as the largest k above
    if 'optim_wrapper' in cfg and 'total_batch' in cfg.optim_wrapper:
        cfg.optim_wrapper.update(total_batch=2, batch_size=2)
    elif 'train_dataloader' in cfg and 'batch_size' in cfg.get('optim_wrapper', {}).get('lr_scaling', {}):
        cfg.train_dataloader.batch_size = cfg.optim_wrapper.lr_scaling.batch_size = 2
    if cfg.get('default_scope') in ('mmdet', 'mmseg'):
        few_regions(cfg.model)
        divide_sizes(cfg._cfg_dict, 4)


def few_regions(node: Any) -> None:
    """Let detectors look at a few regions of an image."""
    if isinstance(node, dict):
        for key, number in (('num', 16), ('nms_pre', 50), ('max_per_img', 20)):
            if key in node:
                node[key] = number
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            few_regions(child)


def replace_published(dataset: Config) -> None:
    """Images of folders in place of data that cannot be generated."""
    inner = dataset.get('dataset', dataset)
    if 'fraction' in dataset:
        dataset.fraction = 0.5
    if inner.get('type') in PUBLISHED:
        pipeline = inner.pipeline
        if pipeline[0].type != 'LoadImageFromFile':  # CIFAR's are in memory
            pipeline = [dict(type='LoadImageFromFile'), *pipeline]
        inner.clear()
        inner.update(type='CustomDataset', data_root='photos/train', pipeline=pipeline)


def divide_sizes(node: Any, factor: int) -> None:
    """Sides of images and crops of pipelines and of tests in windows, divided."""
    if isinstance(node, dict):
        for key in node.keys() & {'scale', 'scales', 'crop_size', 'stride', 'size'}:
            if re.fullmatch(r'[\[(][\d,\s\[\]()]+[\])]', str(node[key])):
                node[key] = divided(node[key], factor)
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            divide_sizes(child, factor)


def divided(value: Any, factor: int) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(divided(v, factor) for v in value)
    return max(16, value // factor)
