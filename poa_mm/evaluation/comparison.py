"""What all protocols share: the networks, the data, how it is read, and the record of the result."""

from __future__ import annotations

import datetime
import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.dist import get_world_size
from mmengine.logging import print_log

from poa_mm.config.value_check import describe as describe_type
from poa_mm.config.value_check import matches
from poa_mm.errors import UserError
from poa_mm.extraction import LoadedNetwork, build_backbone, config_inputs, open_network, resolve_inputs, short_side
from poa_mm.registry import DATASETS, TRANSFORMS, check_types
from poa_mm.reporting.records import versions

from .candidates import Candidate, gather_candidates
from .features import FeatureReader, Network
from .images import EvalImages, describe, open_split_pair

# What the config inside a file may read images with; mmpretrain's CIFAR, for one, unpickles.
DATA = ('poa_mm.datasets.', 'mmcv.transforms.')
# Types of all settings, by name the same in every protocol; None is the default.
DATA_TYPES: dict[str, Any] = dict(
    train=str | Path | Mapping, val=str | Path | Mapping, resize=int, crop=int, interpolation=str
)
DATA_SETTINGS = tuple(DATA_TYPES)
TYPES: dict[str, Any] = dict(
    DATA_TYPES,
    ks=Sequence[int],
    k=int,
    temperature=float,
    at_a_time=int,
    iters=int,
    total_batch=int,
    learning_rates=Sequence[float],
    features=Sequence[str],
    cached=bool,
    clusters=int,
    restarts=int,
    normalize=bool,
    ratios=Sequence[float],
    patches=int,
    grids=Sequence[int | str],
    backgrounds=int,
)


@dataclass(frozen=True)
class EvalOptions:
    """Arguments that the commands of all protocols share.

    Args:
        cfg: Pre-training config; may be empty or hold single settings, which then update that of a checkpoint.
        files: Pre-training checkpoints and extracted networks.
        subnets: Of checkpoints, what :meth:`SubnetSpace.select` takes.
        branch: Of checkpoints, as in :func:`load_pretrained`.
        untrained: Whether to include the config's sub-networks with untrained weights.
        thumbnails: Whether to include raw pixels.
        seed: Of untrained weights and everything random in a protocol; ``None`` for the config's.
        batch_size: Images at a time in each process.
        num_workers: Reading processes for each process.
        amp: Whether features are computed in bfloat16.
        device: Where to compute.
        options: Settings of the data and the protocol, which take precedence over the config's.

    Raises:
        UserError: If there is nothing to compare, or a number makes no sense.
    """

    cfg: Config
    files: Sequence[str] = ()
    subnets: Sequence[str] = ('named',)
    branch: str | None = None
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
            raise UserError('nothing to compare: give a checkpoint (--help lists what else can be compared)')
        if self.batch_size < 1 or self.num_workers < 0:
            raise UserError(
                f'batch size must be at least 1, workers at least 0, got {self.batch_size} and {self.num_workers}'
            )


@dataclass
class Comparison:
    """Networks and data, ready to run.

    Args:
        inputs: Arguments of the command.
        settings: Of the data and the protocol.
        candidates: The networks.
        sources: Origin of each file.
        train: Labelled training (gallery) images; ``None`` if the protocol needs none.
        val: Labelled validation images of the same classes.
        mean: Of R, G, B, in levels of 0 to 255.
        std: Standard deviation of the same.
        seed: Of everything random.
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

    def record(
        self,
        protocol: str,
        results: list[dict],
        unreadable: Mapping[tuple[str, int], str],
        title: str,
        found: str,
        **settings,
    ) -> dict[str, Any]:
        """The content of a result file, of plain Python types.

        Args:
            protocol: Its name.
            results: One entry for each network.
            unreadable: As :meth:`FeatureReader.all_unreadable` returns it: these images are not counted.
            title: Start of the summary, which continues with the files and the number of validation images.
            found: End of the summary.
            **settings: Of the protocol.
        """
        files = [source['file'] for source in self.sources]
        # A single file's origin is also at the top, but for its 'data', which there are those of the evaluation.
        source = {k: v for k, v in self.sources[0].items() if k not in ('file', 'data')} if len(files) == 1 else {}
        data = {
            name: dict(source=describe(images.dataset), images=len(images) - sum(key[0] == name for key in unreadable))
            for name, images in (('train', self.train), ('val', self.val))
            if images is not None
        }
        of_files = f' of {", ".join(files)}' if files else ''
        return dict(
            protocol=dict(name=protocol, **settings, amp=self.inputs.amp),
            **{'checkpoint': None, **source},
            files=self.sources,
            classes=self.classes,
            config=self.inputs.cfg.filename,
            subnets=list(self.inputs.subnets),
            data=dict(**data, unreadable=sorted(set(unreadable.values()))),
            seed_of_evaluation=self.seed,
            untrained_seed=self.seed if self.inputs.untrained else None,
            processes=get_world_size(),
            time=datetime.datetime.now().isoformat(timespec='seconds'),
            versions=versions(),
            results=results,
            summary=f'{title}{of_files} on {data["val"]["images"]} images{found}',
        )


def open_comparison(inputs: EvalOptions, name: str, defaults: Mapping[str, Any], learns: bool = True) -> Comparison:
    """Open the networks and the data.

    Settings are those of the options, then of the dict under the protocol's name in the config, then ``defaults``. The
    data are those of the config's ``knn`` unless the options or the protocol's dict name others. Without a config,
    the one inside the first checkpoint is used.

    Args:
        inputs: Arguments of the command.
        name: Of the protocol: the key of its settings in the config.
        defaults: Settings of the protocol, without those of the data.
        learns: Whether it needs training images; otherwise only those of the options are opened.

    Raises:
        UserError: If a file or the data are missing, a setting makes no sense, or the networks expect different images.
    """
    networks = [open_network(file, inputs.cfg, inputs.branch) for file in inputs.files]
    cfg = _own_config(inputs, networks, name)
    seed = inputs.seed
    if seed is None:
        seed = cfg.get('randomness', {}).get('seed') or 0  # a config may say None
    if inputs.untrained:
        backbone = build_backbone(cfg, seed)
        stated = resolve_inputs(config_inputs(cfg), dict(img_size=backbone.img_size))
        networks.append(LoadedNetwork('untrained', backbone, dict(file=''), stated))
    sizes = sorted({network.inputs['img_size'] for network in networks} - {None})
    if len(sizes) > 1 and 'crop' not in inputs.options:
        raise UserError(f'the networks are made for images of {sizes} px: choose one size with --crop')
    levels = [_mean_and_std(network, cfg) for network in networks] or [resolve_inputs(config_inputs(cfg))]
    if any(other[key] != levels[0][key] for other in levels for key in ('mean', 'std')):
        raise UserError('the networks expect images of different mean and std: evaluate them one by one')
    settings = merge_settings(cfg, name, defaults, dict(img_size=sizes[0]) if sizes else None, inputs.options, learns)
    candidates = gather_candidates(networks, inputs.subnets, inputs.thumbnails, inputs.device)
    pair = open_split_pair(settings.pop('train', None), settings.pop('val', None), learns)
    train, val = (d if d is None else open_images(d, settings) for d in pair)
    sources = [network.source for network in networks if network.source['file']]
    mean, std = levels[0]['mean'], levels[0]['std']
    return Comparison(inputs, settings, candidates, sources, train, val, mean, std, seed)


def open_images(dataset: BaseDataset, settings: Mapping[str, Any]) -> EvalImages:
    """The images of a data set as the settings of a protocol cut them."""
    return EvalImages(dataset, settings['resize'], settings['crop'], settings['interpolation'])


def _own_config(inputs: EvalOptions, networks: Sequence[LoadedNetwork], name: str) -> Config:
    """The pre-training config given to the command; without one, that of the first checkpoint, updated by its options.

    Raises:
        UserError: The protocol's images are those of the checkpoint's config, by a type that a file may not name.
    """
    own = next((network for network in networks if network.cfg is not None), None)
    if 'model' in inputs.cfg or own is None:
        return inputs.cfg
    for section, key in itertools.product((name, 'knn'), ('train', 'val')):
        if key not in inputs.options:
            described = (own.cfg.get(section) or {}).get(key)
            where = f'{section}.{key} of the config in {own.source["file"]}'
            check_types(described, where, lambda cls: cls.__module__.startswith(DATA), (DATASETS, TRANSFORMS))
    merged = Config(own.cfg.to_dict())
    merged.merge_from_dict(inputs.cfg.to_dict())
    return merged


def merge_settings(
    cfg: Config,
    name: str,
    defaults: Mapping[str, Any],
    network: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    learns: bool = True,
) -> dict[str, Any]:
    """Settings of a protocol: those of the options, then of the config, then the defaults.

    The crop is resolved by :func:`resolve_inputs` from the options, the config's section, ``network`` (the inputs that
    the network expects) and the pre-training config; the short side is 8/7 of it: 224 and 256 in the paper.

    Raises:
        UserError: If the config or the options have an unknown setting, or one of another type (:data:`TYPES`).
    """
    own = cfg.get(name) or {}
    allowed = [*DATA_SETTINGS, *defaults]
    unknown = sorted((set(own) | set(options)) - set(allowed))
    if unknown:
        raise UserError(f'{name} of {cfg.filename or "the config"} has unknown keys {unknown}: allowed are {allowed}')
    shared = {key: value for key, value in (cfg.get('knn') or {}).items() if key in DATA_SETTINGS}
    for section, given in (('knn', shared), (name, own), (name, options)):
        for key, value in given.items():
            if value is not None and not matches(value, TYPES[key]):
                raise UserError(f'{section}.{key} must be {describe_type(TYPES[key])}, got {value!r}')
    own = {key: value for key, value in {**shared, **own}.items() if value is not None}
    stated = [dict(img_size=given.get('crop')) for given in (options, own)]
    crop = resolve_inputs(*stated, network, config_inputs(cfg))['img_size']
    defaults = dict(defaults, crop=crop, resize=short_side(crop), interpolation='bicubic')
    if 'crop' in options:  # the config's short side belongs to the config's crop
        own = {key: value for key, value in own.items() if key != 'resize'}
    if not learns and 'train' not in options:
        own = {key: value for key, value in own.items() if key != 'train'}
    elif ('train' in options) != ('val' in options):
        raise UserError(f'train and val of {name} go together: give both, or neither')
    return {**defaults, **own, **options}


def _mean_and_std(network: LoadedNetwork, cfg: Config) -> dict[str, Any]:
    """Inputs of a network; mean and std are those of the config, with a warning, if its file does not state them."""
    stated = resolve_inputs(network.inputs, config_inputs(cfg))
    if network.inputs['mean'] is None or network.inputs['std'] is None:
        used = ' and '.join(', '.join(f'{level:g}' for level in stated[name]) for name in ('mean', 'std'))
        text = f'{network.source["file"]} does not state the mean and std of its images: using {used}'
        print_log(f'{text}; if it was trained with others, extract it again', 'current', logging.WARNING)
    return stated
