"""Records of tested models: the metrics of a classifier, detector or segmentor, its data and its training."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from poa_mm.extraction.checkpoint import read_config
from poa_mm.extraction.extracted import SOURCE_KEYS
from poa_mm.files import load_weights
from poa_mm.models.backbones import describe_static
from poa_mm.models.wrapping import unwrapped
from poa_mm.reporting.records import versions
from poa_mm.reporting.tables import depth_text

# The paper's transfer data sets, by the class that reads them; for iNaturalist by the year in the file name.
TRANSFER = {'CIFAR10': 'CIFAR-10', 'CIFAR100': 'CIFAR-100', 'Flowers102': 'Flowers', 'StanfordCars': 'Cars'}
INATURALIST = {'2018': 'iNaturalist18', '2019': 'iNaturalist19'}
FILES = ('ann_file', 'data_prefix', 'split', 'fraction', 'list_file', 'indices')


def make_record(runner: Runner, checkpoint: str, metrics: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The content of a result file, of plain Python types.

    How the network was trained is read from the config in its checkpoint, or from the runner's if it holds none.

    Args:
        runner: That ran the test.
        checkpoint: The file that was tested.
        metrics: Result of the test.
        seconds: Duration of the test.
    """
    cfg = runner.cfg
    trained_with, iteration = _training(checkpoint, cfg)
    backbone_cfg, frozen = _innermost(trained_with.get('model', {}).get('backbone') or {})
    start, origin = _origin(backbone_cfg)
    size = describe_static(backbone_cfg)
    named = f'{size["width"]}x{depth_text(size["depth"])}' if size else Path(cfg.filename or '').stem
    model = unwrapped(runner.model)
    network = dict(
        kind='from scratch' if start is None else 'pretrained',
        name=origin.get('subnet', named),
        params=sum(p.numel() for p in getattr(model, 'backbone', model).parameters()),
        **size,
        metrics={key: round(float(value), 4) for key, value in metrics.items() if _is_number(value)},
    )
    main = ', '.join(f'{key} {value:g}' for key, value in list(network['metrics'].items())[:3])
    train, images = trained_with.get('train_dataloader') or {}, len(runner.test_dataloader.dataset)
    return dict(
        protocol=protocol_of(trained_with, metrics, frozen),
        checkpoint=checkpoint,
        iteration=iteration,
        config=cfg.filename,
        pretrained=dict(file=start, **origin) if start else None,
        data=dict(
            train=dict(source=_source(train.get('dataset')), images=None),
            val=dict(source=_source(cfg.test_dataloader.dataset), images=images),
            unreadable=[],
        ),
        seed_of_evaluation=runner.seed,
        processes=get_world_size(),
        time=datetime.datetime.now().isoformat(timespec='seconds'),
        seconds=round(seconds, 1),
        versions=versions('mmcv', 'mmpretrain', 'mmdet', 'mmseg'),
        results=[network],
        metrics=network['metrics'],
        summary=f'{checkpoint} on {images} images: {main}',
    )


def _training(checkpoint: str, cfg: Config) -> tuple[Config, int | None]:
    """The config that a checkpoint was trained with, or the given one if it holds none; and its iteration."""
    if not Path(checkpoint).is_file():
        return cfg, None
    meta = load_weights(checkpoint).get('meta') or {}
    return read_config(meta['cfg']) if isinstance(meta.get('cfg'), str) else cfg, meta.get('iter')


def protocol_of(cfg: Config, metrics: Mapping[str, Any], frozen: bool) -> dict[str, Any]:
    """Name of the protocol and its settings, from the metrics and the training config."""
    model = cfg.get('model', {})
    epochs = {k: v for k, v in (cfg.get('train_cfg') or {}).items() if k in ('max_epochs', 'max_iters')}
    if any(key.startswith('coco/') for key in metrics):
        return dict(name='detection', model=model.get('type'), **epochs)
    if 'mIoU' in metrics:
        head = (model.get('decode_head') or {}).get('type') or ''
        return dict(name='segmentation', model='linear' if frozen else head.rpartition('.')[2], **epochs)
    if not any(key.startswith('accuracy') for key in metrics):
        return dict(name='test', model=model.get('type'), **epochs)
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    part = {key: dataset[key] for key in ('fraction', 'list_file') if dataset.get(key) not in (None, 1, 1.0)}
    if part:
        return dict(name='semi', **part, **epochs)
    kind = str(dataset.get('type')).rpartition('.')[2]
    if kind == 'INaturalist':
        years = [year for year in INATURALIST if year in Path(str(dataset.get('ann_file'))).name]
        return dict(name='transfer', dataset=INATURALIST[years[0]] if years else kind, **epochs)
    if kind in TRANSFER:
        return dict(name='transfer', dataset=TRANSFER[kind], **epochs)
    return dict(name='finetune', **epochs)


def _innermost(backbone_cfg: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The config of the backbone itself, and whether it was frozen."""
    frozen = False
    while isinstance(backbone_cfg.get('backbone'), Mapping):
        frozen, backbone_cfg = True, backbone_cfg['backbone']
    return backbone_cfg, frozen


def _origin(backbone_cfg: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The file that the backbone started from, and the origin stated in it if it still exists."""
    start = (backbone_cfg.get('init_cfg') or {}).get('checkpoint')
    if start is None or not Path(start).is_file():
        return start, {}
    meta = load_weights(start).get('meta') or {}
    return start, {key: meta[key] for key in ('subnet', 'format', *SOURCE_KEYS) if meta.get(key) is not None}


def _source(dataset: Mapping[str, Any] | None) -> str:
    """Class and files of a data set, from its config."""
    parts = []
    while dataset:
        root = dataset.get('data_root')
        files = [f'{key} {dataset[key]}' for key in FILES if dataset.get(key) not in (None, '', 1.0)]
        parts.append(' '.join(filter(None, [str(dataset.get('type')).rpartition('.')[2], root, ', '.join(files)])))
        dataset = dataset.get('dataset')
    return ' of '.join(parts) or 'unknown'


def _is_number(value: Any) -> bool:
    try:
        return float(value) == float(value)
    except (TypeError, ValueError):
        return False
