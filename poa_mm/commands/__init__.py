"""The command line ``poa COMMAND``: one module per command, each with ``add_arguments(parser)`` and ``run(args)``.

Modules here import nothing heavy at the top, so that ``--help`` and typing mistakes answer at once.
"""

from .main import main

__all__ = ['main']
