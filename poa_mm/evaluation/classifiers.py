"""Fine-tuned classifiers of mmpretrain as the networks of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from poa_mm.errors import UserError
from poa_mm.extraction.checkpoint import read_config
from poa_mm.files import load_weights
from poa_mm.registry import MODELS, check_types

from .candidates import Candidate, name_apart
from .comparison import Comparison, EvalOptions, merge_settings, open_images
from .images import open_split_pair

# Where the parts of a classifier may come from; mmdet has a GlobalAveragePooling too. TIMMBackbone downloads what its
# config names.
PARTS = tuple(
    f'{toolbox}.models.{part}'
    for toolbox in ('mmpretrain', 'mmdet', 'mmseg', 'poa_mm')
    for part in ('backbones', 'necks', 'heads', 'losses', 'reid', 'classifiers.image', 'utils')
)
REFUSED = ('TIMMBackbone',)


def open_classifiers(inputs: EvalOptions, name: str, defaults: Mapping[str, Any]) -> Comparison:
    """Open checkpoints of trained classifiers, whose networks give logits (N, classes), and the validation images.

    The model of each checkpoint and the crop of its images come from the config that MMEngine wrote into it.

    Args:
        inputs: Arguments of the command; its files are the checkpoints.
        name: Of the protocol, as in :func:`open_comparison`.
        defaults: Settings of the protocol.

    Raises:
        UserError: If a file or the data are missing, a file holds no classifier, or the classifiers expect different
            images.
    """
    opened = [_open(Path(file)) for file in inputs.files]
    images = [images for _, images in opened]
    if any(other != images[0] for other in images):
        raise UserError('the classifiers expect images of different size, mean or std: evaluate them one by one')
    own = {key: images[0][key] for key in ('crop', 'resize') if images[0][key] and 'crop' not in inputs.options}
    options = dict(interpolation=images[0]['interpolation'], **own) | inputs.options
    settings = merge_settings(inputs.cfg, name, defaults, None, options, learns=False)
    _, val = open_split_pair(settings.pop('train', None), settings.pop('val', None), learns=False)
    candidates = name_apart([candidate for candidate, _ in opened])
    for candidate in candidates:
        candidate.network.func.to(inputs.device).eval()
    return Comparison(
        inputs,
        settings,
        candidates,
        sources=[dict(file=str(file)) for file in inputs.files],
        train=None,
        val=open_images(val, settings),
        mean=images[0]['mean'],
        std=images[0]['std'],
        seed=inputs.seed or 0,
    )


def _open(file: Path) -> tuple[Candidate, dict[str, Any]]:
    """The classifier of a checkpoint; mean, std, crop, short side and interpolation of its images."""
    contents = load_weights(file)
    text = (contents.get('meta') or {}).get('cfg')
    cfg = read_config(text) if isinstance(text, str) else Config()
    if str((cfg.get('model') or {}).get('type')).rpartition('.')[2] != 'ImageClassifier':
        raise UserError(f'{file} is not a checkpoint of an ImageClassifier of mmpretrain')
    pixels = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    if not (pixels.get('mean') and pixels.get('std') and pixels.get('to_rgb')):
        raise UserError(f'{file} does not say mean and std of RGB images in its data_preprocessor')
    model_cfg = {**without_init(cfg.model.to_dict()), 'data_preprocessor': None, 'train_cfg': None}
    check_types(model_cfg, f'the config in {file}', is_part)
    model = MODELS.build({'_scope_': 'mmpretrain', **model_cfg})
    try:
        model.load_state_dict(contents['state_dict'])
    except (KeyError, RuntimeError) as error:
        raise UserError(f'{file} does not hold the weights of its config: {str(error).splitlines()[-1]}') from error
    params = sum(parameter.numel() for parameter in model.parameters())
    name = f'{file.parent.name}/{file.stem}'
    candidate = Candidate('trained', name, partial(model, mode='tensor'), params=params, file=str(file))
    steps = {step.get('type'): step for step in _pipeline(cfg)}
    resize = steps.get('ResizeEdge', {})
    images = dict(crop=steps.get('CenterCrop', {}).get('crop_size'), resize=resize.get('scale'))
    images['interpolation'] = resize.get('interpolation', 'bilinear')  # mmpretrain's default
    return candidate, dict(images, mean=list(pixels.mean), std=list(pixels.std))


def is_part(cls: type) -> bool:
    """Whether a class is a part of a classifier that a file may name."""
    return cls.__module__.startswith(PARTS) and cls.__name__ not in REFUSED


def without_init(node: Any) -> Any:
    """A config without its initialisations, which the weights of a checkpoint replace."""
    if isinstance(node, Mapping):
        return {key: without_init(value) for key, value in node.items() if key != 'init_cfg'}
    return type(node)(map(without_init, node)) if isinstance(node, list | tuple) else node


def _pipeline(cfg: Config) -> list[Mapping[str, Any]]:
    """The test pipeline of a config."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return dataset.get('pipeline') or []
