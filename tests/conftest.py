"""What tests that build runners share."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def scopes_stay():
    """A runner of another toolbox leaves its scope as the default; the tests that follow must not see it."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture
def configs_are_not_printed(monkeypatch):
    """Formatting a config for the log takes longer than a training step."""
    monkeypatch.setattr(Config, 'pretty_text', property(lambda self: ''))


@pytest.fixture
def swin_on_meta(monkeypatch):
    """OpenMMLab's Swins read numbers out of ``torch.linspace`` (drop path), which the meta device does not have."""
    linspace = torch.linspace
    monkeypatch.setattr(torch, 'linspace', lambda *args, **kwargs: linspace(*args, **{**kwargs, 'device': 'cpu'}))
