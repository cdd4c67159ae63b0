"""The version, apart from everything that imports something."""

__version__ = '0.1.0'
