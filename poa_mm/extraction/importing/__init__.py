"""Weights of other libraries as an elastic checkpoint."""

from .checkpoint import ImportedWeights, import_weights
from .reading import SourceFile, read_source

__all__ = ['ImportedWeights', 'SourceFile', 'import_weights', 'read_source']
