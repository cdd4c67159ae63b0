"""The file of an extracted sub-network: :func:`export_subnet` writes it, evaluation and training read it.

``state_dict`` holds the network's weights, and ``meta``, in plain types, what is known of it: ``subnet`` (its size, by
which such a file is recognised), ``format`` (the toolbox), ``config`` (of the ordinary network), ``num_params``,
``img_size``, ``mean`` and ``std`` (of its images; ``None`` where unknown), ``poa_mm_version``, and under
:data:`SOURCE_KEYS` where the weights came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCE_KEYS = ('checkpoint', 'branch', 'iteration', 'seed', 'experiment_name')


def is_extracted(contents: Mapping[str, Any]) -> bool:
    """Whether the contents of a file are those of an extracted sub-network."""
    return isinstance(contents.get('meta'), Mapping) and 'subnet' in contents['meta']


def source_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Where the weights came from; ``None`` for what is not known."""
    return {key: meta.get(key) for key in SOURCE_KEYS}
