"""What tests that build runners share."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from poa_mm.registry import MODELS


@pytest.fixture(autouse=True)
def no_default_scope():
    """A runner leaves its scope as the default, in fixtures of a module too; no test may depend on it."""
    DefaultScope._instance_dict.clear()
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture
def configs_are_not_printed(monkeypatch):
    """Formatting a config for the log takes longer than a training step."""
    monkeypatch.setattr(Config, 'pretty_text', property(lambda self: ''))


@pytest.fixture
def swin_on_meta(monkeypatch):
    """OpenMMLab's Swins read numbers out of ``torch.linspace`` (drop path), which the meta device does not have."""
    linspace = torch.linspace
    monkeypatch.setattr(torch, 'linspace', lambda *args, **kwargs: linspace(*args, **{**kwargs, 'device': 'cpu'}))


@pytest.fixture(scope='session')
def random_backbone():
    """``random_backbone(cfg)`` builds a backbone in eval mode with all parameters random, biases and norms too."""

    @torch.no_grad()
    def build(cfg: dict) -> torch.nn.Module:
        torch.manual_seed(0)
        backbone = MODELS.build({'_scope_': 'poa_mm', **cfg}).eval()
        for name, parameter in backbone.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.normal_(float(name.endswith('weight')), 0.2)
        return backbone

    return build
