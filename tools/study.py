"""The same as ``poa study``; needs poa_mm installed (``pip install -e .``) or this checkout in PYTHONPATH."""

import sys

from poa_mm.commands import main

if __name__ == '__main__':
    main(['study', *sys.argv[1:]])
