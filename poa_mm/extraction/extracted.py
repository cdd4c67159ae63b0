"""The extracted network: what is known of it, and the file that it is kept in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poa_mm.elastic import Subnet, collect_slice_rules, slice_state_dict
from poa_mm.errors import UserError
from poa_mm.files import load_weights, write_atomically, write_text
from poa_mm.models.backbones import ElasticBackbone, find_family
from poa_mm.registry import SCOPES, check_types
from poa_mm.version import __version__

from .formats import network_config, network_weights
from .inputs import resolve_inputs, short_side

CLASSIFIER_PREFIX = 'backbone.'  # of a classifier's backbone, in files of mmpretrain
SOURCE_KEYS = ('checkpoint', 'branch', 'iteration', 'seed', 'experiment_name', 'data')


@dataclass(frozen=True)
class ExtractedNetwork:
    """A sub-network as an ordinary network of a toolbox (POA, sec. 3.3).

    Its file holds :attr:`weights` as ``state_dict`` and everything else, in plain types, as ``meta``. Extraction writes
    it; configs, evaluation, reports and checks read it.

    Args:
        subnet: Size, ``'384x12'``.
        name: Name in its space (``'S'``), else the size; also the name of the file.
        format: Toolbox that it is for, one of :data:`FORMATS`.
        config: Of the ordinary network.
        num_params: Number of its parameters.
        feature_dims: Size of the image feature.
        channels: Channels of the maps, first map first.
        space: Where it came from: ``type`` of the elastic backbone, ``widths``, and ``stages``, for each the numbers of
            blocks to choose from.
        scales: By parameter the factor ``full / size`` that is folded into it (POA, eq. 1), 1 for the others.
        img_size: Side of its images in pixels; ``None`` where unknown.
        mean: Of R, G, B of its images, in levels of 0 to 255; ``None`` where unknown.
        std: Standard deviation of the same.
        checkpoint: The pre-training checkpoint; ``None``, as the next five, where unknown.
        branch: ``'teacher'`` or ``'student'``.
        iteration: Of the checkpoint.
        seed: Of the pre-training.
        experiment_name: Of the pre-training.
        data: That it was pre-trained on: type and folder.
        poa_mm_version: That extracted it.
        weights: By name, as the toolbox's loader expects them; empty for a network that is only described.

    Raises:
        UserError: If a value has the wrong type.
    """

    subnet: str
    name: str
    format: str
    config: dict[str, Any]
    num_params: int
    feature_dims: int
    channels: list[int]
    space: dict[str, Any]
    scales: dict[str, float]
    img_size: int | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    checkpoint: str | None = None
    branch: str | None = None
    iteration: int | None = None
    seed: int | None = None
    experiment_name: str | None = None
    data: str | None = None
    poa_mm_version: str = __version__
    weights: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        expected = dict.fromkeys(('subnet', 'name', 'format', 'poa_mm_version'), str)
        expected.update(dict.fromkeys(('num_params', 'feature_dims'), int))
        expected.update(dict.fromkeys(('img_size', 'iteration', 'seed'), int | None))
        expected.update(dict.fromkeys(('checkpoint', 'branch', 'experiment_name', 'data'), str | None))
        expected.update(config=dict, space=dict, scales=dict, channels=list, mean=list | None, std=list | None)
        for key, kind in expected.items():
            value = getattr(self, key)
            if not isinstance(value, kind) or not is_plain(value):
                raise UserError(f'{key} of an extracted network must be {_kind_name(kind)}, got {value!r}')
        if not isinstance(self.config.get('type'), str):
            raise UserError(f'config of an extracted network must name its type, got {self.config!r}')

    @classmethod
    def describe(
        cls, backbone: ElasticBackbone, subnet: Subnet | str, format: str, source: Mapping[str, Any]
    ) -> ExtractedNetwork:
        """What a sub-network becomes, without its weights; the backbone may be on the meta device.

        Args:
            backbone: The elastic network.
            subnet: A member of its space.
            format: Toolbox.
            source: What is known of the weights and the images, as :func:`load_pretrained` gives it.

        Raises:
            UserError: If the sub-network is not in the space, the format is unknown, or the sub-network is too small
                for it.
        """
        subnet = backbone.resolve(subnet)
        scales = network_weights(backbone, subnet, format, backbone.extracted_scales(subnet))
        return cls(
            subnet=str(subnet),
            name=backbone.space.name(subnet),
            format=format,
            config=network_config(backbone, subnet, format),
            num_params=count_params(backbone, subnet, format),
            feature_dims=backbone.feature_dims(subnet),
            channels=list(backbone.map_channels(subnet)),
            space=dict(
                type=type(backbone).__name__,
                widths=list(backbone.space.widths),
                stages=[list(stage) for stage in backbone.space.stages],
            ),
            scales=scales,
            img_size=source.get('img_size') or backbone.img_size,
            **{key: source.get(key) for key in ('mean', 'std', *SOURCE_KEYS)},
        )

    @classmethod
    def load(cls, path: str | Path) -> ExtractedNetwork:
        """Read a file of :meth:`save`; nothing in it is executed.

        Raises:
            UserError: If the file does not exist or does not hold an extracted network.
        """
        return cls.from_contents(load_weights(path), path)

    @classmethod
    def from_contents(cls, contents: Mapping[str, Any], path: str | Path) -> ExtractedNetwork:
        """The network of a file that has been read already."""
        if not is_extracted(contents):
            raise UserError(f'{path} is not an extracted sub-network: write one with poa extract')
        meta, weights = contents['meta'], contents.get('state_dict')
        if not isinstance(weights, Mapping):
            raise UserError(f'{path} is not an extracted sub-network: it has no weights')
        fields = {f.name: f for f in dataclasses.fields(cls) if f.name != 'weights'}
        missing = [name for name, f in fields.items() if f.default is dataclasses.MISSING and name not in meta]
        if missing:
            raise UserError(f'{path} lacks {", ".join(missing)}: extract it again with this version of poa_mm')
        try:
            network = cls(**{key: value for key, value in meta.items() if key in fields})
            # The toolbox of its class may not be imported here.
            if network.config['type'].rpartition('.')[0] not in SCOPES:
                raise UserError(f'the type of its config must be that of a toolbox, got {network.config["type"]!r}')
            find_family(network.config)
            check_types(list(network.config.values()), 'its config')
        except UserError as error:
            raise UserError(f'{path}: {error}') from error
        prefix = network.file_prefix
        if foreign := [name for name in weights if not name.startswith(prefix)]:
            raise UserError(f'{path} has {foreign[0]} without {prefix}: extract it again with this version of poa_mm')
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
        return dataclasses.replace(network, weights=weights)

    def save(self, folder: str | Path) -> Path:
        """Write ``<name>.pth``, and ``<name>.py``, a config that uses it.

        The config names the weights relative to its own folder, so the two can be moved together.

        Args:
            folder: Made where it is missing.

        Returns:
            The file with the weights.
        """
        path = Path(folder) / f'{self.name}.pth'
        contents = dict(meta=self.meta, state_dict=self.file_weights)
        write_atomically(path, lambda file: torch.save(contents, file))
        write_text(path.with_suffix('.py'), self.config_text())
        return path

    @property
    def meta(self) -> dict[str, Any]:
        """All but the weights, of plain types."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != 'weights'}

    @property
    def file_prefix(self) -> str:
        """What precedes the names of weights in a file: mmpretrain's files are those of a classifier."""
        return CLASSIFIER_PREFIX if self.format == 'mmpretrain' else ''

    @property
    def file_weights(self) -> dict[str, Tensor]:
        """The weights by their names in a file."""
        return {self.file_prefix + name: value for name, value in self.weights.items()}

    def init_cfg(self, file: str | Path) -> dict[str, str]:
        """``init_cfg`` of a backbone that starts from a file of this network."""
        prefix = dict(prefix=self.file_prefix) if self.file_prefix else {}
        return dict(type='Pretrained', checkpoint=str(file), **prefix)

    @property
    def source(self) -> dict[str, Any]:
        """Where the weights came from; ``None`` for what is unknown."""
        return {key: getattr(self, key) for key in SOURCE_KEYS}

    @property
    def inputs(self) -> dict[str, Any]:
        """``img_size``, ``mean`` and ``std`` of its images, for :func:`resolve_inputs`."""
        return dict(img_size=self.img_size, mean=self.mean, std=self.std)

    def config_text(self) -> str:
        """MMEngine config with the network as ``backbone``; ``{{ fileDirname }}`` is the folder of the config.

        For mmpretrain it is a whole config, which ``get_model`` and ``FeatureExtractor`` take: a classifier without a
        head, and the images that the network expects. Values from a checkpoint appear in ``repr`` only, so that none of
        them can end a comment or a string.
        """
        init_cfg = self.init_cfg(f'{{{{ fileDirname }}}}/{self.name}.pth')
        text = (
            f'# Sub-network {self.subnet}, {self.num_params:,} parameters, extracted by poa_mm {self.poa_mm_version} '
            f'for {self.format}\n'
            f'# from the {self.branch} of {self.checkpoint!r}, iteration {self.iteration!r}.\n'
            + _assignment('backbone', {**self.config, 'init_cfg': init_cfg})
        )
        return text + self._classifier_text() if self.format == 'mmpretrain' else text

    def _classifier_text(self) -> str:
        inputs = resolve_inputs(self.inputs)
        crop = inputs['img_size']
        pipeline = [
            dict(type='LoadImageFromFile'),
            dict(
                type='ResizeEdge',
                scale=short_side(crop),
                edge='short',
                backend='pillow',
                interpolation='bicubic',
            ),
            dict(type='CenterCrop', crop_size=crop),
            dict(type='PackInputs'),
        ]
        levels = dict(mean=list(inputs['mean']), std=list(inputs['std']), to_rgb=True)
        return (
            "model = dict(type='ImageClassifier', backbone=backbone)\n"
            + '# The images that it expects: RGB, mean and std in levels of 0 to 255.\n'
            + _assignment('data_preprocessor', levels)
            + f'test_pipeline = {pipeline!r}\n'
            + "test_dataloader = dict(dataset=dict(type='CustomDataset', pipeline=test_pipeline))\n"
            + "test_cfg = dict()\ntest_evaluator = dict(type='Accuracy')\n"
        )


def _assignment(name: str, values: Mapping[str, Any]) -> str:
    return f'{name} = dict(\n' + ''.join(f'    {key}={value!r},\n' for key, value in values.items()) + ')\n'


def count_params(backbone: ElasticBackbone, subnet: Subnet | str | None = None, format: str = 'mmpretrain') -> int:
    """Number of parameters of the extracted network; nothing is copied."""
    weights = {k: p.to('meta') for k, p in backbone.named_parameters() if k not in backbone.pretrain_only}
    subnet = backbone.resolve(subnet)
    sliced = slice_state_dict(weights, collect_slice_rules(backbone), backbone.space, subnet, backbone.block_prefixes)
    return sum(tensor.numel() for tensor in network_weights(backbone, subnet, format, sliced).values())


def is_extracted(contents: Mapping[str, Any]) -> bool:
    """Whether the contents of a file are those of an extracted sub-network."""
    return isinstance(contents.get('meta'), Mapping) and 'subnet' in contents['meta']


def is_plain(value: Any) -> bool:
    """Whether a value can be written into a config by ``repr``: numbers, text, lists, tuples and dicts of such.

    Text with ``{{`` is refused, since MMEngine substitutes there.
    """
    kind = type(value)  # exactly these: a subclass may have another repr
    if kind is dict:
        return all(type(key) is str and is_plain(key) and is_plain(item) for key, item in value.items())
    if kind in (list, tuple):
        return all(map(is_plain, value))
    return '{{' not in value if kind is str else value is None or kind in (bool, int, float)


def _kind_name(kind: Any) -> str:
    names = {str: 'text', int: 'an integer', dict: 'a dict', list: 'a list', type(None): 'None'}
    return ' or '.join(names[part] for part in getattr(kind, '__args__', (kind,))) + ' of plain values'
