"""Show what networks learned, and what a recipe feeds them: PNG files and one HTML page."""

import argparse
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from poa_mm.commands import visualize
from poa_mm.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    visualize.add_arguments(parser)
    args = parser.parse_args()
    try:
        visualize.run(args)
    except UserError as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
