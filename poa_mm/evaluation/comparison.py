"""What all protocols share: which networks, on which data, read how, and what the result file says of it."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.logging import print_log

from poa_mm.errors import UserError
from poa_mm.extraction import LoadedNetwork, build_backbone, config_inputs, open_network, resolve_inputs
from poa_mm.reporting.records import versions

from .candidates import Candidate, gather_candidates
from .features import FeatureReader, Network
from .images import EvalImages, describe, open_split_pair

DATA_SETTINGS = ('train', 'val', 'resize', 'crop')


@dataclass(frozen=True)
class EvalOptions:
    """What the commands of all protocols take.

    Args:
        cfg: Pre-training config; may be empty.
        files: Pre-training checkpoints and extracted networks.
        subnets: Of checkpoints, what :meth:`SubnetSpace.select` takes.
        branch: Whose weights of a checkpoint, ``'teacher'`` or ``'student'``.
        untrained: Whether the config's sub-networks take part with untrained weights.
        thumbnails: Whether raw pixels take part.
        seed: Of untrained weights and of all that a protocol draws; ``None`` for the config's.
        batch_size: Images at a time in each process.
        num_workers: Reading processes for each process.
        amp: Whether features are computed in bfloat16.
        device: Where to compute.
        options: Settings of the data and the protocol that go before the config's.

    Raises:
        UserError: If there is nothing to compare, or a number makes no sense.
    """

    cfg: Config
    files: Sequence[str] = ()
    subnets: Sequence[str] = ('named',)
    branch: str = 'teacher'
    untrained: bool = False
    thumbnails: bool = False
    seed: int | None = None
    batch_size: int = 64
    num_workers: int = 2
    amp: bool = False
    device: torch.device | str = 'cpu'
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.files or self.untrained or self.thumbnails):
            raise UserError('nothing to compare: give a checkpoint, --untrained or --thumbnails')
        if self.batch_size < 1 or self.num_workers < 0:
            raise UserError(
                f'batch size must be at least 1, workers at least 0, got {self.batch_size} and {self.num_workers}'
            )


@dataclass
class Comparison:
    """Networks and data, ready to run.

    Args:
        inputs: What was asked for.
        settings: Of the data and the protocol.
        candidates: The networks.
        sources: What is known of every file.
        train: Labelled images to learn from; ``None`` where nothing is learned.
        val: Labelled images to judge with; of the same classes.
        mean: Of R, G, B, in levels of 0 to 255.
        std: Likewise.
        seed: Of all that is drawn.
    """

    inputs: EvalOptions
    settings: dict[str, Any]
    candidates: list[Candidate]
    sources: list[dict[str, Any]]
    train: EvalImages | None
    val: EvalImages
    mean: list[float]
    std: list[float]
    seed: int

    def reader(
        self, networks: Mapping[str, Network] | None = None, kind: type[FeatureReader] = FeatureReader, **kwargs
    ) -> FeatureReader:
        """Reads the images for all candidates, or for other networks.

        Args:
            networks: By name; the candidates' by default.
            kind: Class of the reader.
            **kwargs: Its other arguments.
        """
        if networks is None:
            networks = {candidate.key: candidate.network for candidate in self.candidates}
        given = self.inputs
        arguments = dict(batch_size=given.batch_size, num_workers=given.num_workers, device=given.device, amp=given.amp)
        return kind(networks, self.mean, self.std, **arguments, **kwargs)

    @property
    def classes(self) -> int:
        """Number of classes of the data."""
        images = self.train or self.val
        named = images.dataset.metainfo.get('classes')
        return len(named) if named else 1 + max(images.label(i) for i in range(len(images)))

    def where(self) -> str:
        """`` of FILE`` for the summary; empty where there is no file."""
        files = [source['file'] for source in self.sources]
        return f' of {", ".join(files)}' if files else ''

    def record(
        self, protocol: str, results: list[dict], unreadable: list[str], summary: str, **settings
    ) -> dict[str, Any]:
        """Everything that a result file holds, of plain Python types.

        Args:
            protocol: Its name.
            results: One entry for every network.
            unreadable: Paths and reasons of the images that were left out.
            summary: One line.
            **settings: Of the protocol.
        """
        sources = self.sources
        source = {k: v for k, v in sources[0].items() if k != 'file'} if len(sources) == 1 else {}
        data = {
            name: dict(source=describe(images.dataset), images=len(images))
            for name, images in (('train', self.train), ('val', self.val))
            if images is not None
        }
        return dict(
            protocol=dict(name=protocol, **settings, amp=self.inputs.amp),
            **{'checkpoint': None, **source},
            files=sources,
            config=self.inputs.cfg.filename,
            subnets=list(self.inputs.subnets),
            data=dict(**data, unreadable=unreadable),
            seed_of_evaluation=self.seed,
            untrained_seed=self.seed if self.inputs.untrained else None,
            processes=get_world_size(),
            time=datetime.datetime.now().isoformat(timespec='seconds'),
            versions=versions(),
            results=results,
            summary=summary,
        )


def open_comparison(inputs: EvalOptions, name: str, defaults: Mapping[str, Any], learns: bool = True) -> Comparison:
    """Open the networks and the data.

    Settings come from the options, else from the dict under the protocol's name in the config, else they are
    ``defaults``. Which data comes from the config's ``knn`` where nothing else says it.

    Args:
        inputs: What the command was given.
        name: Of the protocol: the key of its settings in the config.
        defaults: Settings of the protocol, without those of the data.
        learns: Whether it needs images to learn from; else only those of the options are opened.

    Raises:
        UserError: If a file or the data are missing.
        UserError: If something makes no sense.
    """
    cfg = inputs.cfg
    seed = inputs.seed
    if seed is None:
        seed = cfg.get('randomness', {}).get('seed') or 0  # a config may say None
    opened = [open_network(file, cfg, inputs.branch) for file in inputs.files]
    networks = [(found.kind, found.backbone, found.source['file']) for found in opened]
    expected = [found.inputs for found in opened]
    if inputs.untrained:
        networks.append(('untrained', build_backbone(cfg, seed), ''))
        expected.append(resolve_inputs(config_inputs(cfg), dict(img_size=networks[-1][1].img_size)))
    sizes = sorted({found['img_size'] for found in expected} - {None})
    if len(sizes) > 1 and 'crop' not in inputs.options:
        raise UserError(f'the networks are made for images of {sizes} px: choose one size with --crop')
    settings = merge_settings(cfg, name, defaults, dict(img_size=sizes[0]) if sizes else None, inputs.options, learns)
    candidates = gather_candidates(networks, inputs.subnets, inputs.thumbnails, inputs.device)
    pair = open_split_pair(settings.pop('train', None), settings.pop('val', None), learns)
    train, val = (d if d is None else EvalImages(d, settings['resize'], settings['crop']) for d in pair)
    norms = [_norm(found, cfg) for found in opened]
    if inputs.untrained or not opened:
        norms.append(_levels(resolve_inputs(config_inputs(cfg))))
    if any(norm != norms[0] for norm in norms):
        raise UserError('the networks expect images of different mean and std: evaluate them one by one')
    sources = [found.source for found in opened]
    return Comparison(inputs, settings, candidates, sources, train, val, **norms[0], seed=seed)


def merge_settings(
    cfg: Config,
    name: str,
    defaults: Mapping[str, Any],
    network: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    learns: bool = True,
) -> dict[str, Any]:
    """Settings of a protocol: options, else the config's, else the defaults.

    The crop is resolved by :func:`resolve_inputs` from the options, the config's section, ``network`` (the inputs that
    the network expects) and the pre-training config; the short side is 8/7 of it: 224 and 256 in the paper.

    Raises:
        UserError: If the config or the options have a setting that there is not.
    """
    own = cfg.get(name) or {}
    allowed = [*DATA_SETTINGS, *defaults]
    unknown = sorted((set(own) | set(options)) - set(allowed))
    if unknown:
        raise UserError(f'{name} of {cfg.filename} has unknown keys {unknown}: allowed are {allowed}')
    shared = {key: value for key, value in (cfg.get('knn') or {}).items() if key in DATA_SETTINGS}
    own = {**shared, **own}
    stated = [dict(img_size=given.get('crop')) for given in (options, own)]
    crop = resolve_inputs(*stated, network, config_inputs(cfg))['img_size']
    defaults = dict(defaults, crop=crop, resize=round(crop * 8 / 7))
    if 'crop' in options:  # the config's short side belongs to the config's crop
        own = {key: value for key, value in own.items() if key != 'resize'}
    if not learns and 'train' not in options:
        own = {key: value for key, value in own.items() if key != 'train'}
    elif ('train' in options) != ('val' in options):
        raise UserError('--train and --val go together: give both, or neither')
    return {**defaults, **own, **options}


def _norm(opened: LoadedNetwork, cfg: Config) -> dict[str, list[float]]:
    """Mean and std of a file's images; those of the command's config where the file does not say them."""
    norm = _levels(resolve_inputs(opened.inputs, config_inputs(cfg)))
    if opened.inputs['mean'] is None or opened.inputs['std'] is None:
        taken = ' and '.join(', '.join(f'{level:g}' for level in norm[name]) for name in ('mean', 'std'))
        text = f'{opened.source["file"]} does not say mean and std of its images: taking {taken}'
        print_log(f'{text}; if it was trained with others, extract it again', 'current', logging.WARNING)
    return norm


def _levels(inputs: Mapping[str, Any]) -> dict[str, list[float]]:
    return {key: inputs[key] for key in ('mean', 'std')}
