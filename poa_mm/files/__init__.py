"""Files: read without running anything that they name, written whole or not at all."""

from .storage import (
    differing_shapes,
    first_non_finite,
    load_weights,
    remove_incomplete,
    write_atomically,
    write_text,
)

__all__ = [
    'differing_shapes',
    'first_non_finite',
    'load_weights',
    'remove_incomplete',
    'write_atomically',
    'write_text',
]
