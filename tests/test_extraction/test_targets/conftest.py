"""Writes a cell of the table of formats."""

from functools import cache
from types import SimpleNamespace

import pytest
import torch

from poa_mm.extraction.export import extract_network
from poa_mm.extraction.targets import Options, toolbox_of_maps, write_target
from tests.helpers.cells import NETWORKS, RESULTS, SIDE, SOURCE


@pytest.fixture(scope='session')
def backbones(random_backbone):
    return {family: random_backbone(cfg) for family, cfg in NETWORKS.items()}


@pytest.fixture(scope='session')
def export(backbones, tmp_path_factory):
    """``export(family, size, format, **options)``: the folder, the elastic network and the sub-network.

    The same cell is written once, since tracing takes seconds.
    """

    @cache
    def write(family, size, format, **options):
        backbone = backbones[family]
        (subnet,) = backbone.space.select([size])
        toolbox = toolbox_of_maps(backbone, subnet) if options.get('maps') else 'mmpretrain'
        network = extract_network(backbone, subnet, dict(SOURCE, img_size=SIDE[family]), toolbox)
        folder = tmp_path_factory.mktemp('cell') / 'out'
        write_target(network, folder, format, Options(**options), RESULTS)
        return SimpleNamespace(folder=folder, backbone=backbone, subnet=subnet, network=network)

    return write


@pytest.fixture
def images():
    """Normalised images ``(2, 3, side, side)``."""
    return lambda side: torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def levels():
    """RGB levels ``(N, 3, H, W)``, and the same normalised."""

    def make(count, height, width):
        levels = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(2)) * 255
        mean, std = (torch.tensor(SOURCE[key]).view(3, 1, 1) for key in ('mean', 'std'))
        return levels, (levels - mean) / std

    return make
