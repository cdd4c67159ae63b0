"""The k-NN protocol from a config to a record: what is compared, on which data, with which settings."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size

from poa_mm.extraction import build_backbone, load_pretrained
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.registry import MODELS

from .candidates import gather_candidates
from .features import FeatureReader
from .images import EvalImages, describe, open_split_pair
from .knn import evaluate_knn
from .records import best_of, versions

SETTINGS = ('train', 'val', 'ks', 'resize', 'crop', 'temperature')


def run_knn(
    cfg: Config,
    checkpoint: str | None,
    subnets: Sequence[str],
    *,
    branch: str = 'teacher',
    untrained: bool = False,
    thumbnails: bool = False,
    seed: int | None = None,
    batch_size: int = 64,
    num_workers: int = 2,
    amp: bool = False,
    device: torch.device | str = 'cpu',
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate sub-networks by k-NN; every image is read once.

    Settings are ``train``, ``val`` (configs of data sets, or folders), ``ks``, ``resize``, ``crop`` (pixels) and
    ``temperature``. They come from ``options``, else from the config's ``knn``, else they are the paper's.

    Args:
        cfg: Pre-training config.
        checkpoint: Pre-training checkpoint; ``None`` for none.
        subnets: What :meth:`SubnetSpace.select` takes.
        branch: Whose weights, ``'teacher'`` or ``'student'``.
        untrained: Whether the same sub-networks take part with untrained weights.
        thumbnails: Whether raw pixels take part.
        seed: Of the untrained weights; ``None`` for the config's.
        batch_size: Images at a time in each process.
        num_workers: Reading processes for each process.
        amp: Whether features are computed in bfloat16.
        device: Where to compute.
        options: Settings that go before the config's.

    Returns:
        Everything that a result file holds, of plain Python types.

    Raises:
        FileNotFoundError: If the checkpoint or the data are missing.
        ValueError: If a setting makes no sense, or there is nothing to compare.
    """
    if checkpoint is None and not (untrained or thumbnails):
        raise ValueError('nothing to compare: give a checkpoint, --untrained or --thumbnails')
    if batch_size < 1 or num_workers < 0:
        raise ValueError(f'batch size must be at least 1, workers at least 0, got {batch_size} and {num_workers}')
    seed = cfg.get('randomness', {}).get('seed') or 0 if seed is None else seed
    backbones: dict[str, ElasticBackbone] = {}
    source: dict[str, Any] = dict(checkpoint=None)
    if checkpoint is not None:
        backbones['pretrained'], source = load_pretrained(checkpoint, cfg, branch)
    if untrained:
        backbones['untrained'] = build_backbone(cfg, seed)
    settings = knn_settings(cfg, next(iter(backbones.values()), None), options or {})
    candidates = gather_candidates(backbones, subnets, thumbnails, device)
    pair = open_split_pair(settings.get('train'), settings.get('val'))
    train, val = (EvalImages(dataset, settings['resize'], settings['crop']) for dataset in pair)
    model_cfg = source.get('cfg', cfg).get('model', {})
    preprocessor_cfg = model_cfg.get('data_preprocessor') or dict(type='MultiCropPreprocessor')
    preprocessor = MODELS.build({'_scope_': 'poa_mm', **preprocessor_cfg})
    reader = FeatureReader(
        {candidate.key: candidate.network for candidate in candidates},
        preprocessor.mean.flatten().tolist(),
        preprocessor.std.flatten().tolist(),
        batch_size,
        num_workers,
        device,
        amp,
    )
    accuracy = evaluate_knn(reader, train, val, settings['ks'], settings['temperature'])
    results = [_result(candidate.record(), accuracy[candidate.key]) for candidate in candidates]
    data = {
        name: dict(source=describe(images.dataset), images=len(images))
        for name, images in (('train', train), ('val', val))
    }
    protocol = dict(name='knn', **{key: settings[key] for key in SETTINGS[2:]}, amp=amp)
    return dict(
        protocol=protocol,
        **{key: value for key, value in source.items() if key != 'cfg'},
        config=cfg.filename,
        subnets=list(subnets),
        data=dict(**data, unreadable=reader.all_unreadable()),
        untrained_seed=seed if untrained else None,
        processes=get_world_size(),
        time=datetime.datetime.now().isoformat(timespec='seconds'),
        versions=versions(),
        results=results,
        summary=_summary(results, source, data),
    )


def knn_settings(cfg: Config, backbone: ElasticBackbone | None, options: dict[str, Any]) -> dict[str, Any]:
    """Settings of the protocol: options, else the config's ``knn``, else the paper's.

    The crop is the size that the model was made for, and the short side 8/7 of it: 224 and 256 in the paper.

    Raises:
        ValueError: If the config has a setting that there is not.
    """
    own = cfg.get('knn') or {}
    unknown = sorted(set(own) - set(SETTINGS))
    if unknown:
        raise ValueError(f'knn of {cfg.filename} has unknown keys {unknown}: allowed are {list(SETTINGS)}')
    crop = options.get('crop') or own.get('crop') or getattr(backbone, 'img_size', 224)
    defaults = dict(ks=(10, 20, 100, 200), temperature=0.07, crop=crop, resize=round(crop * 8 / 7))
    if 'crop' in options:  # the config's short side belongs to the config's crop
        own = {key: value for key, value in own.items() if key != 'resize'}
    if ('train' in options) != ('val' in options):
        raise ValueError('--train and --val go together: give both, or neither')
    merged = {**defaults, **own, **options}
    return {**merged, 'ks': sorted(set(merged['ks']))}


def _result(record: dict, accuracy: dict[int, float]) -> dict:
    best = best_of(accuracy)
    rounded = {str(k): round(value, 4) for k, value in accuracy.items()}
    return dict(**record, accuracy=rounded, best_k=best, best=rounded[str(best)])


def _summary(results: list[dict], source: dict, data: dict) -> str:
    kinds = dict.fromkeys(result['kind'] for result in results)
    parts = []
    for kind in kinds:
        found = [result['best'] for result in results if result['kind'] == kind]
        span = f'{min(found):.2f}' if len(found) == 1 else f'{min(found):.2f} to {max(found):.2f}'
        parts.append(f'{kind} {span} %' + (f' ({len(found)} networks)' if len(found) > 1 else ''))
    where = f' of {source["checkpoint"]}' if source['checkpoint'] else ''
    return f'k-NN{where} on {data["val"]["images"]} images: {", ".join(parts)}'
