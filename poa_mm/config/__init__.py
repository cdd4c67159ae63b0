"""Configs: found by name, read with other values of their variables, and checked key by key."""

from .config_check import check_config
from .loading import check_names, check_toolboxes, load_config
from .recipes import find_config

__all__ = ['check_config', 'check_names', 'check_toolboxes', 'find_config', 'load_config']
