"""Downloads of checkpoints."""

import pytest

from poa_mm.errors import UserError
from poa_mm.files.checkpoint_loader import load_from_http


def test_an_address_that_cannot_be_reached_is_named(tmp_path):
    address = 'http://localhost:1/x.pth'
    with pytest.raises(UserError, match=f'{address} cannot be downloaded: .*refused'):
        load_from_http(address, model_dir=str(tmp_path))
    assert not list(tmp_path.iterdir())
