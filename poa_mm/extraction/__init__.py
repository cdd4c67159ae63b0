"""From a pre-training checkpoint to ordinary networks that know nothing of this project."""

from .checkpoint import build_backbone, load_pretrained
from .downstream import fill_in, find_network
from .export import export_subnet, extract_network
from .extracted import ExtractedNetwork, count_params, is_extracted
from .formats import FORMATS
from .inputs import config_inputs, resolve_inputs, short_side
from .networks import LoadedNetwork, load_extracted, open_network

__all__ = [
    'FORMATS',
    'ExtractedNetwork',
    'LoadedNetwork',
    'build_backbone',
    'config_inputs',
    'count_params',
    'export_subnet',
    'extract_network',
    'fill_in',
    'find_network',
    'is_extracted',
    'load_extracted',
    'load_pretrained',
    'open_network',
    'resolve_inputs',
    'short_side',
]
