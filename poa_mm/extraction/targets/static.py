"""The ordinary network of an extracted file, and that network as a program from images to features."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from poa_mm.elastic import Subnet
from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.extraction.inputs import resolve_inputs
from poa_mm.models.backbones import ElasticBackbone, find_family
from poa_mm.registry import MODELS


def build_static(network: ExtractedNetwork) -> nn.Module:
    """The toolbox's network with its weights, in evaluation mode on the CPU; no code of ours computes in it."""
    family, type_ = find_family(network.config), network.config['type']
    with torch.random.fork_rng(devices=[]):
        static = MODELS.build({'_scope_': 'poa_mm', **network.config})
    # strict=True also where mmpretrain resizes positions while loading.
    static.load_state_dict({family.loaded_as(type_, name): value for name, value in network.weights.items()})
    static.eval()  # mmpretrain's returns nothing
    return static


def toolbox_of_maps(backbone: ElasticBackbone, subnet: Subnet | str) -> str:
    """The toolbox whose network returns the maps: mmpretrain's Swin and ResNet do, its ViT needs the dense config."""
    return 'mmpretrain' if 'out_indices' in backbone.static_config(subnet) else 'mmdet'


class FeatureProgram(nn.Module):
    """From RGB levels to features: normalisation, network and pooling in one module.

    Args:
        network: With weights.
        maps: Whether to return the maps instead of the image feature.
    """

    def __init__(self, network: ExtractedNetwork, maps: bool = False) -> None:
        super().__init__()
        inputs = resolve_inputs(network.inputs)
        self.register_buffer('mean', torch.tensor(inputs['mean']).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(inputs['std']).view(3, 1, 1), persistent=False)
        self.network, self.maps = build_static(network), maps
        for module in self.network.modules():
            if hasattr(module, 'window_reverse'):  # mmpretrain's Swin makes the size of the batch a constant there,
                module.window_reverse = join_windows
                module.get_attn_mask = cache(module.get_attn_mask)  # and computes the same masks for each batch
        self.train(False)

    def train(self, mode: bool = True) -> FeatureProgram:
        """Only evaluation mode: mmpretrain's ``train`` does not return the module, as PyTorch's does."""
        self.training = False
        return self

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """RGB levels ``(N, 3, H, W)``, float32 of 0 to 255, to features ``(N, D)`` or maps ``(N, C, H', W')``."""
        outputs = self.network((images - self.mean) / self.std)
        if self.maps:
            return tuple(outputs)
        feature = outputs[-1]
        return feature.mean((2, 3)) if feature.ndim == 4 else feature


def join_windows(windows: Tensor, height: int, width: int, window_size: int | None = None) -> Tensor:
    """Windows ``(windows * N, S, S, C)`` to maps ``(N, H, W, C)``, for a batch of any size."""
    side = windows.shape[1]
    rows = windows.unflatten(0, (-1, height // side, width // side)).transpose(2, 3)
    return rows.flatten(1, 2).flatten(2, 3)
