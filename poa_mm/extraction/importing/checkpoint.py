"""The checkpoint of a pre-training that starts from the weights of another network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.files import differing_shapes, write_atomically
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.registry import MODELS

from ..checkpoint import build_backbone
from ..inputs import config_inputs, resolve_inputs
from .fitting import fit_backbone
from .importance import first_order_scores, magnitude_scores, read_batches, reorder, reorder_head
from .reading import SourceFile, read_source
from .sources import plain_name

AUTHORS_HEAD = (
    (r'.*?mlp(\d+)\.(\d+)\.(weight|bias)', r'heads.\1.mlp.\2.\3'),
    (r'.*?last_layer(\d+)\.(weight_[gv])', r'heads.\1.last_layer.\2'),
)


@dataclass
class ImportedWeights:
    """A backbone with foreign weights.

    Args:
        backbone: The elastic backbone.
        head: Weights of the heads, empty if the source has none that fit.
        cfg: The pre-training config.
        library: Where the weights are from.
        notes: What the user should know, one sentence each.
    """

    backbone: ElasticBackbone
    head: dict[str, Tensor]
    cfg: Config
    library: str
    notes: list[str]

    def reorder(self, images: str | Path | None = None, number: int = 256) -> dict[str, float]:
        """Sort channels, heads and hidden units by importance, the most important first.

        Args:
            images: Folder of images for :func:`first_order_scores`; ``None`` is :func:`magnitude_scores`.
            number: At most so many of them.

        Returns:
            Importance of every block, by its prefix.
        """
        if images is None:
            scores, blocks = magnitude_scores(self.backbone)
        else:
            inputs = resolve_inputs(config_inputs(self.cfg), dict(img_size=self.backbone.img_size))
            scores, blocks = first_order_scores(self.backbone, read_batches(str(images), number, **inputs))
        self.head = reorder_head(self.head, reorder(self.backbone, scores)['channels'])
        return blocks

    def save(self, path: str | Path) -> Path:
        """Write a checkpoint for ``load_from``: teacher and student are the imported network."""
        weights = {f'backbone.{name}': value for name, value in self.backbone.state_dict().items()}
        weights.update({f'head.{name}': value for name, value in self.head.items()})
        weights.update({f'teacher.{name}': value for name, value in weights.items()})
        meta = dict(cfg=self.cfg.pretty_text, iter=0, epoch=0, seed=None, experiment_name='import')
        return write_atomically(path, lambda file: torch.save(dict(meta=meta, state_dict=weights), file))


def import_weights(source: str | Path, cfg: Config, branch: str | None = None) -> ImportedWeights:
    """Weights of DINOv2, timm, ``transformers``, torchvision, mmpretrain or the authors' program for a config.

    Args:
        source: A file, or a folder of ``transformers`` or timm.
        cfg: A pre-training config whose intact network is the source's.
        branch: As of :func:`recognise`.

    Raises:
        UserError: If the source cannot be read or does not fit the config; names what and why.
    """
    file = read_source(source)
    backbone = build_backbone(cfg)
    found, untrained = fit_backbone(file, backbone, branch)
    _check_levels(file, cfg)
    head, notes = _find_head(file, cfg, backbone, branch)
    if untrained:
        notes.append(f'not in the source, left untrained: {", ".join(untrained)}')
    if 'head_dim' not in {**found.options, **file.options} and backbone.family == 'VisionTransformer':
        notes.append(f'the source does not say the size of its attention heads: {backbone.head_dim}, of the config')
    return ImportedWeights(backbone, head, cfg, f'{found.family} of {found.library}', notes)


def _check_levels(file: SourceFile, cfg: Config) -> None:
    """The images must be normalised as the source's were."""
    for key, value in config_inputs(cfg).items():
        levels = file.levels.get(key)
        if levels and any(abs(a - b) > 0.1 for a, b in zip(levels, value)):
            raise UserError(
                f'{file.path} does not fit the config: its images have {key} {[round(x, 3) for x in levels]}, those of '
                f'the config {list(value)} (model.data_preprocessor.{key})'
            )


def _find_head(
    file: SourceFile, cfg: Config, backbone: ElasticBackbone, branch: str | None
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights of the config's heads in a source, by their names inside the heads; none if they do not fit."""
    if 'head' not in cfg.model:
        return {}, []
    with torch.device('meta'):
        head = MODELS.build({'_scope_': 'poa_mm', 'embed_dims': backbone.feature_dims(), **cfg.model.head})
    expected = head.state_dict()
    found = _head_weights(file.weights, branch)
    if not found:
        return {}, ['the source has no prototype heads: those of the config are left untrained']
    for name, shape, wanted in differing_shapes(found, expected):
        return {}, [f'the heads are left untrained: {name} is {shape} in the source, {wanted} in the config']
    return found, []


def _head_weights(weights: Mapping[str, Tensor], branch: str | None) -> dict[str, Tensor]:
    teacher = {name for name in weights if 'teacher' in name.split('.')}
    names = teacher if teacher and branch != 'student' else set(weights) - teacher
    found = {}
    for name in sorted(names):
        own = plain_name(name)
        if match := re.fullmatch(r'(?:teacher\.|student\.|module\.)*head\.(heads\..+)', own):
            found[match[1]] = weights[name]
        for pattern, replacement in AUTHORS_HEAD:
            if 'patch' not in own and 'ibot' not in own and (match := re.fullmatch(pattern, own)):
                found[match.expand(replacement)] = weights[name]
    return found
