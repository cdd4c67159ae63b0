"""From a pre-training checkpoint to ordinary networks that know nothing of this project."""

from .checkpoint import build_backbone, load_pretrained
from .export import count_params, export_subnet
from .formats import FORMATS

__all__ = ['FORMATS', 'build_backbone', 'count_params', 'export_subnet', 'load_pretrained']
