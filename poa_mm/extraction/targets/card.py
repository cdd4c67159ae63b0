"""Model cards: the ``README.md`` of a folder, in the format of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from poa_mm.errors import UserError
from poa_mm.extraction.complexity import static_macs
from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.extraction.inputs import resolve_inputs
from poa_mm.reporting.tables import markdown_table

from .options import Options
from .renaming import family_name

LIBRARIES = {
    'timm': 'timm',
    'transformers': 'transformers',
    'onnx': 'onnx',
    'torch.export': 'pytorch',
    'safetensors': 'mmpretrain',
}
UNKNOWN = 'unknown'


def card_text(
    network: ExtractedNetwork, format: str, loading: str, options: Options, results: Sequence[dict[str, Any]] = ()
) -> str:
    """The card of an exported network.

    Args:
        network: As written.
        format: One of :data:`TARGETS`.
        loading: Python lines that load it.
        options: Of the export.
        results: Measured values, each with ``task``, ``metric``, ``value`` and ``data`` as text or numbers.
    """
    inputs = resolve_inputs(network.inputs)
    size = inputs['img_size']
    family = family_name(network)
    output = 'maps' if options.maps else 'image feature'
    shapes = f'{", ".join(map(str, network.channels))} channels' if options.maps else f'{network.feature_dims} numbers'
    origin = (
        f'{_code(network.branch)} of {_code(_last_parts(network.checkpoint))}, iteration {_code(network.iteration)}'
    )
    rows = [
        ('network', f'{family} {network.subnet}'),
        ('parameters', f'{network.num_params:,}'),
        ('operations', f'{static_macs(network.config, size) / 1e9:.3g} G multiply-accumulates at {size} x {size}'),
        ('output', f'{output}, {shapes}'),
        ('images', f'RGB, {size} x {size} pixels' + (', or any size' if options.any_size else '')),
        ('mean and std, of levels 0 to 255', f'{_numbers(inputs["mean"])} and {_numbers(inputs["std"])}'),
        ('weights', origin),
        ('pre-training data', _code(network.data)),
        ('extracted by', f'poa_mm {network.poa_mm_version}'),
    ]
    space = network.space
    lines = [
        _header(network, format, results),
        f'# {family} {network.name}\n',
        f'An image backbone without labels: sub-network {network.subnet} of one pre-training by POA (Pre-training Once '
        f'for Models of All Sizes, ECCV 2024). The pre-training holds networks of widths {_range(space["widths"])} and '
        f'depths {", ".join(map(_range, space["stages"]))}; this is one of them, as an ordinary network.\n',
        markdown_table(('', ''), rows) + '\n',
        '## Use\n',
        f'```python\n{loading}```\n',
    ]
    if results:
        table = markdown_table(('task', 'data', 'metric', 'value'), [_result_row(result) for result in results])
        lines += ['## Results\n', table + '\n']
    return '\n'.join(lines)


def _header(network: ExtractedNetwork, format: str, results: Sequence[dict[str, Any]]) -> str:
    """The YAML block; every value as JSON, which YAML reads."""
    header: dict[str, Any] = dict(
        library_name=LIBRARIES[format],
        pipeline_tag='image-feature-extraction',
        tags=['poa', 'self-supervised', 'image-feature-extraction', family_name(network), format],
    )
    if results:
        measured = [
            dict(
                task=dict(type='image-classification', name=result['task']),
                dataset=dict(type='images', name=result['data']),
                metrics=[dict(type='accuracy', name=result['metric'], value=result['value'])],
            )
            for result in results
        ]
        header['model-index'] = [dict(name=network.name, results=measured)]
    lines = ''.join(f'{key}: {json.dumps(value)}\n' for key, value in header.items())
    return f'---\n{lines}---\n'


def _result_row(result: dict[str, Any]) -> list[str]:
    return [result['task'], _code(result['data']), result['metric'], f'{result["value"]:.2f}']


def _code(value: Any) -> str:
    """A value from a file as code, so that nothing in it is read as Markdown."""
    text = UNKNOWN if value is None else str(value)
    return text if value is None else '`' + ' '.join(text.replace('`', "'").replace('|', '/').split()) + '`'


def _last_parts(path: str | None) -> str | None:
    """A file and its folder: a card is published, and the rest of the path is nobody else's business."""
    return None if path is None else '/'.join(Path(path).parts[-2:])


def _numbers(values: Sequence[float]) -> str:
    return ', '.join(f'{value:g}' for value in values)


def _range(values: Sequence[int]) -> str:
    return f'{values[0]}' if len(values) == 1 else f'{values[0]} to {values[-1]}'


def card_results(record: Mapping[str, Any], network: ExtractedNetwork) -> list[dict[str, Any]]:
    """The k-NN accuracies of a network in the content of a result file of ``poa knn``, as its card lists them.

    Raises:
        UserError: If the record lacks the network, or was measured on another checkpoint.
    """
    for result in record['results']:
        if result['kind'] in ('pretrained', 'extracted') and result.get('subnet') == network.subnet:
            break
    else:
        raise UserError(f'the result file has no network {network.subnet}')
    for key in ('branch', 'iteration', 'seed'):
        if record.get(key) != getattr(network, key):
            raise UserError(
                f'the result file was measured on another checkpoint: {key} {record.get(key)!r}, but the network has '
                f'{getattr(network, key)!r}'
            )
    data = record['data']['val']
    name = f'{data["source"]}, {data["images"]} images'
    return [
        dict(task='k-NN classification', data=name, metric=f'accuracy (%), k = {k}', value=value)
        for k, value in result['accuracy'].items()
    ]
