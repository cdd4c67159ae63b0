"""Backbones whose every parameter matters."""

import pytest
import torch

import poa_mm.models  # noqa: F401
from poa_mm.registry import MODELS


@pytest.fixture
def random_backbone():
    """``random_backbone(cfg)`` builds a backbone in eval mode with all parameters random, biases and norms too."""

    @torch.no_grad()
    def build(cfg: dict) -> torch.nn.Module:
        torch.manual_seed(0)
        backbone = MODELS.build(cfg).eval()
        for name, parameter in backbone.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.normal_(float(name.endswith('weight')), 0.2)
        return backbone

    return build
