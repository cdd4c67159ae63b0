"""``python -m poa_mm COMMAND``, the same as ``poa COMMAND``."""

from poa_mm.commands import main

if __name__ == '__main__':
    main()
