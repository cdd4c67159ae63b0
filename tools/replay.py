"""The same as ``poa replay``; needs poa_mm installed (``pip install -e .``) or this checkout in PYTHONPATH."""

import sys

from poa_mm.commands import main

if __name__ == '__main__':
    main(['replay', *sys.argv[1:]])
