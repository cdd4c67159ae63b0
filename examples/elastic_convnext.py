"""A family in one file: an elastic ConvNeXt (Liu et al., A ConvNet for the 2020s, 2022).

A config registers it by ``custom_imports = dict(imports=['examples.elastic_convnext'])``; see docs/new_family.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from poa_mm.elastic import ElasticConv2d, ElasticLayerNorm, ElasticLinear, SliceRule, Subnet, SubnetSpace
from poa_mm.elastic.space import choices
from poa_mm.models.backbones import ElasticBackbone, LayerNames, MaskCells
from poa_mm.registry import MODELS

LayerNorm = partial(ElasticLayerNorm, eps=1e-6)
STEM_STRIDE, LAST_STRIDE, NUM_STAGES = 4, 32, 4


class ElasticDepthwiseConv(nn.Conv2d):
    """A 7 x 7 filter for each channel; a slice lacks no input of its filters, so nothing is scaled."""

    slice_rules = {'weight': SliceRule((0,)), 'bias': SliceRule((0,))}

    def forward(self, x: Tensor) -> Tensor:
        """``(N, m, H, W) -> (N, m, H, W)``."""
        size = x.shape[1]
        return F.conv2d(x, self.weight[:size], self.bias[:size], padding=self.padding, groups=size)


class ElasticBlock(nn.Module):
    """Depthwise convolution and two linear layers, on maps of ``m`` channels."""

    slice_rules = {'gamma': SliceRule((0,))}

    def __init__(self, channels: int, layer_scale_init_value: float) -> None:
        super().__init__()
        self.depthwise_conv = ElasticDepthwiseConv(channels, channels, 7, padding=3, groups=channels)
        self.norm = LayerNorm(channels)
        self.pointwise_conv1 = ElasticLinear(channels, 4 * channels)
        self.pointwise_conv2 = ElasticLinear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale_init_value))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, H, W, m) -> (N, H, W, m)``."""
        out = self.norm(self.depthwise_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return x + self.pointwise_conv2(F.gelu(self.pointwise_conv1(out))) * self.gamma[: x.shape[-1]]


@MODELS.register_module()
class ElasticConvNeXt(ElasticBackbone):
    """ConvNeXt that holds all its sub-networks; parameters are named as in ``mmpretrain.ConvNeXt``.

    Args:
        widths: Smallest and largest number of channels of the first stage, and the step; it doubles every stage.
        depths: Smallest and largest number of blocks of the third stage, and optionally the step.
        stage_depths: Blocks of the first, second and fourth stage.
        layer_scale_init_value: Initial value of ``gamma``.
        mask_stride: Side of a mask cell, in pixels.
        init_cfg: Initialisation config of MMEngine, for example a checkpoint.
    """

    static_types = ('ConvNeXt',)
    names = {'T': (96, 9), 'S': (96, 27), 'B': (128, 27)}
    block_prefixes = tuple(f'stages.{i}.' for i in range(NUM_STAGES))
    layer_names = LayerNames(
        marks=('downsample_layers.0.0.', '.depthwise_conv.'),
        block=r'stages\.(\d+)\.(\d+)\.',
        before=r'mask_token|downsample_layers\.0\.',
        downsample=r'downsample_layers\.([1-9])\.',
    )

    def __init__(
        self,
        widths: tuple[int, int, int] = (96, 128, 16),
        depths: tuple[int, int] | tuple[int, int, int] = (9, 27),
        stage_depths: tuple[int, int, int] = (3, 3, 3),
        layer_scale_init_value: float = 1e-6,
        mask_stride: int = 16,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        first, second, last = stage_depths
        stages = [[first], [second], choices('depths', depths), [last]]
        self.space = SubnetSpace(choices('widths', widths), stages, depth_stage=2, names=self.names)
        self.cells = MaskCells(STEM_STRIDE, mask_stride, LAST_STRIDE)
        self.layer_scale_init_value, channels = layer_scale_init_value, self.map_channels()
        self.mask_token, self.slice_rules = nn.Parameter(torch.zeros(channels[0])), {'mask_token': SliceRule((0,))}
        stem = [ElasticConv2d(3, channels[0], STEM_STRIDE, STEM_STRIDE, elastic_in=False), LayerNorm(channels[0])]
        self.downsample_layers, self.stages = nn.ModuleList([nn.ModuleList(stem)]), nn.ModuleList()
        for size, larger in zip(channels, channels[1:]):
            self.downsample_layers.append(nn.ModuleList([LayerNorm(size), ElasticConv2d(size, larger, 2, 2)]))
        for i, depth in enumerate(self.space.stage_depths(self.space.intact)):
            self.stages.append(nn.ModuleList(ElasticBlock(channels[i], layer_scale_init_value) for _ in range(depth)))
            # Pre-training uses the last norm only, and DDP waits for parameters that get no gradient.
            self.add_module(f'norm{i}', LayerNorm(channels[i]).requires_grad_(i == NUM_STAGES - 1))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, crops: Sequence[Tensor], masks: Tensor | None = None, subnet: Subnet | str | None = None):
        """The image feature is the normed mean of the last map; its normed positions are the patch features."""
        maps = [[*self._stages(images, None if i else masks, subnet)][-1] for i, images in enumerate(crops)]
        return [(self.norm3(x.mean((1, 2))), self.cells.spread_features(self.norm3(x))) for x in maps]

    def level_features(self, images: Tensor, subnet: Subnet | str | None = None):
        stages = enumerate(self._stages(images, None, subnet))
        return [getattr(self, f'norm{i}')(x.mean((1, 2))) for i, x in stages], None

    def _stages(self, images: Tensor, masks: Tensor | None, subnet: Subnet | str | None) -> Iterator[Tensor]:
        """Images ``(N, 3, H, W)`` to the maps ``(N, H', W', C)`` after each stage."""
        subnet = self.resolve(subnet)
        conv, norm = self.downsample_layers[0]
        x = norm(conv(images, subnet.width).permute(0, 2, 3, 1))
        if masks is not None:
            hidden = self.cells.spread_masks(masks, *x.shape[1:3]).unsqueeze(-1)
            x = torch.where(hidden, self.mask_token[: subnet.width].to(x.dtype), x)
        for i, active in enumerate(self.space.active_blocks(subnet)):
            if i:
                norm, conv = self.downsample_layers[i]
                x = conv(norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            for index in active:
                x = self.run_block(self.stages[i][index], x)
            yield x

    def map_channels(self, subnet: Subnet | str | None = None) -> tuple[int, ...]:
        return tuple(self.resolve(subnet).width * 2**i for i in range(NUM_STAGES))

    def static_config(self, subnet: Subnet | str | None = None) -> dict:
        depths, channels = self.space.stage_depths(self.resolve(subnet)), self.map_channels(subnet)
        arch, scale = dict(depths=list(depths), channels=list(channels)), self.layer_scale_init_value
        return dict(type='mmpretrain.ConvNeXt', arch=arch, layer_scale_init_value=scale, out_indices=(0, 1, 2, 3))

    def dense_config(self, subnet: Subnet | str | None, toolbox: str) -> dict:
        return {**self.static_config(subnet), 'gap_before_final_norm': False}  # mmdet and mmseg have no ConvNeXt

    @classmethod
    def static_size(cls, static: Mapping) -> tuple[int, int]:
        return static['arch']['channels'][0], static['arch']['depths'][2]

    @classmethod
    def elastic_config(cls, static: Mapping) -> dict:
        (width, depth), (first, second, _, last) = cls.static_size(static), static['arch']['depths']
        sizes = dict(widths=(width, width, 1), depths=(depth, depth), stage_depths=(first, second, last))
        return dict(**sizes, layer_scale_init_value=static['layer_scale_init_value'], mask_stride=LAST_STRIDE)
