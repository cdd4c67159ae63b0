"""Checks that a checkpoint fits a whole model."""

from __future__ import annotations

from torch import nn

from poa_mm.errors import UserError, listed
from poa_mm.extraction import is_extracted
from poa_mm.files import load_weights
from poa_mm.models.wrapping import plain_weights


def check_weights(model: nn.Module, checkpoint: str) -> None:
    """Check before a test that a file holds all weights of the model; MMEngine loads what fits and only logs the rest.

    Raises:
        UserError: If a weight is missing or has another shape, or the file is an extracted sub-network.
    """
    contents = load_weights(checkpoint)
    if is_extracted(contents):
        name = contents['meta']['subnet']
        raise UserError(
            f'{checkpoint} is the sub-network {name}, not a trained model: use a checkpoint written by poa train'
        )
    shapes = {name: getattr(value, 'shape', None) for name, value in plain_weights(contents).items()}
    wrong = [name for name, value in model.state_dict().items() if shapes.get(name) != value.shape]
    if wrong:
        raise UserError(f'{checkpoint} does not fit this model: missing or of other shapes are {listed(wrong, 3)}')
