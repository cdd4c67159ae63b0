"""Elastic ResNet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from poa_mm.elastic import ElasticConv2d, ElasticGroupNorm, Subnet, SubnetSpace, choices
from poa_mm.errors import UserError
from poa_mm.registry import MODELS

from .base import ElasticBackbone
from .layer_depth import LayerNames
from .mask_cells import MaskCells
from .static_resnet import PUBLISHED, STAGES

STEM_STRIDE = 4


class ElasticBottleneck(nn.Module):
    """Bottleneck block whose middle channels are elastic; its input and output are not.

    Only ``conv2`` and ``conv3`` have sliced inputs, so only they are scaled.

    Args:
        in_channels: Channels of the input.
        mid_channels: Middle channels of the intact network.
        out_channels: Channels of the output.
        stride: Stride of ``conv2``.
        num_groups: Groups of every normalisation.
        scaled: Whether slices are scaled.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, out_channels: int, stride: int, num_groups: int, scaled: bool
    ) -> None:
        super().__init__()
        self.conv1 = ElasticConv2d(in_channels, mid_channels, 1, bias=False, elastic_in=False)
        self.gn1 = ElasticGroupNorm(num_groups, mid_channels)
        self.conv2 = ElasticConv2d(mid_channels, mid_channels, 3, stride=stride, padding=1, bias=False, scaled=scaled)
        self.gn2 = ElasticGroupNorm(num_groups, mid_channels)
        self.conv3 = ElasticConv2d(mid_channels, out_channels, 1, bias=False, elastic_out=False, scaled=scaled)
        self.gn3 = nn.GroupNorm(num_groups, out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.GroupNorm(num_groups, out_channels),
            )

    def forward(self, x: Tensor, mid_channels: int) -> Tensor:
        """``(N, C, H, W) -> (N, C', H', W')`` with ``mid_channels`` between."""
        out = norm_relu(self.gn1, self.conv1(x, mid_channels))
        out = norm_relu(self.gn2, self.conv2(out))
        out = self.gn3(self.conv3(out))
        out = F.relu(out + (x if self.downsample is None else self.downsample(x)), inplace=True)
        # As it came: a norm may return another layout, which the next convolution would change back.
        return out.contiguous(memory_format=torch.channels_last) if has_channels_last(x) else out


def norm_relu(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """``relu(norm(x))`` in the precision of ``x``.

    Autocast computes norms in fp32, and the next convolution would round to half precision what is rounded here before
    the ReLU: the same numbers in half the memory.
    """
    return F.relu(norm(x).to(x.dtype), inplace=True)


def has_channels_last(x: Tensor) -> bool:
    """Whether the channels of a map ``(N, C, H, W)`` lie next to each other, and nothing else does."""
    return x.stride(1) == 1 and x.shape[1] > 1 and not x.is_contiguous()


@MODELS.register_module()
class ElasticResNet(ElasticBackbone):
    """ResNet that holds all its sub-networks (POA, sec. 3.1); GroupNorm throughout.

    A width is the middle channels of the first stage. What enters and leaves a block does not change, hence all
    sub-networks have features of one size. Parameters have the names and shapes of ``mmpretrain.ResNet`` with
    GroupNorm, plus ``mask_token``, which replaces masked positions after the max-pool.

    Args:
        widths: Middle channels of the first stage: a tuple of the smallest, the largest and the step between, or a list
            of all. They double every stage.
        depths: Numbers of blocks of each stage, given in the same way; the step is 1 by default.
        stem_channels: Channels of the stem.
        out_channels: Channels that leave the first stage; they double every stage.
        num_groups: Groups of every GroupNorm.
        mask_stride: Side of a mask cell, in pixels.
        scaled: Whether the slices of weights are scaled (False: POA, table 16).
        with_cp: Whether activations are recomputed in the backward pass, block by block.
        init_cfg: Initialisation config of MMEngine, for example a checkpoint.

    Raises:
        UserError: If a number of channels is not a multiple of the groups, the mask cells do not fit the maps, or
            a range is empty.
    """

    static_types = ('ResNet', 'StaticResNet')
    names = {'R50': (64, (3, 4, 6, 3)), 'R101': (64, (3, 4, 23, 3)), 'R152': (64, (3, 8, 36, 3))}
    paper_names = {'R50': 'ResNet-50', 'R101': 'ResNet-101', 'R152': 'ResNet-152'}
    paper_table = 'knn_resnet'
    layer_names = LayerNames(marks=('layer1.0.conv1.',), block=r'layer(\d+)\.(\d+)\.', before='', has_top=False)

    def __init__(
        self,
        widths: tuple[int, int, int] | list[int] = (64, 128, 32),
        depths: Sequence[tuple[int, ...] | list[int]] = ((3, 3), (4, 8), (6, 36), (3, 3)),
        stem_channels: int = 64,
        out_channels: int = 256,
        num_groups: int = 32,
        mask_stride: int = 16,
        scaled: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.space = SubnetSpace(
            choices('widths', widths),
            [choices('depths', stage) for stage in depths],
            depth_stage=None,
            names=self.names,
        )
        for channels in (*self.space.widths, stem_channels, out_channels):
            if channels % num_groups:
                raise UserError(f'{channels} channels are not a multiple of num_groups {num_groups}')
        self.stem_channels, self.out_channels, self.num_groups = stem_channels, out_channels, num_groups
        self.cells = MaskCells(STEM_STRIDE, mask_stride, STEM_STRIDE * 2 ** (len(depths) - 1))
        self.with_cp = with_cp
        self.conv1 = nn.Conv2d(3, stem_channels, 7, stride=2, padding=3, bias=False)
        self.gn1 = nn.GroupNorm(num_groups, stem_channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.mask_token = nn.Parameter(torch.zeros(1, stem_channels))
        in_channels = stem_channels
        for i, depth in enumerate(self.space.intact.depth):
            blocks = nn.Sequential()
            for block in range(depth):
                stride = 2 if i and not block else 1
                sizes = (in_channels, self.space.intact.width * 2**i, out_channels * 2**i)
                blocks.append(ElasticBottleneck(*sizes, stride, num_groups, scaled))
                in_channels = sizes[-1]
            self.add_module(f'layer{i + 1}', blocks)
        self.block_prefixes = tuple(f'layer{i + 1}.' for i in range(len(depths)))

    def forward(
        self, crops: Sequence[Tensor], masks: Tensor | None = None, subnet: Subnet | str | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """See :meth:`ElasticBackbone.forward`.

        The image feature is the mean of the last map. Its positions are fewer than the mask cells and repeated
        for them. Without masks, images of any size do. Convolutions run on one crop size after the other.
        """
        subnet = self.resolve(subnet)
        maps = [
            deque(self._maps(images, masks if i == 0 else None, subnet), maxlen=1)[0].permute(0, 2, 3, 1)
            for i, images in enumerate(crops)
        ]
        return [(m.mean((1, 2)), self.cells.spread_features(m)) for m in maps]

    def stem(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` to maps of a quarter of their sides."""
        return self.maxpool(norm_relu(self.gn1, self.conv1(images)))

    def level_features(self, images: Tensor, subnet: Subnet | str | None = None) -> tuple[list[Tensor], None]:
        """See :meth:`ElasticBackbone.level_features`. Means of every stage's map."""
        return [x.mean((2, 3)) for x in self._maps(images, None, self.resolve(subnet))], None

    def _maps(self, images: Tensor, masks: Tensor | None, subnet: Subnet) -> Iterator[Tensor]:
        """Images ``(N, 3, H, W)`` to the maps ``(N, C, H', W')`` after each stage."""
        if images.is_cuda:  # tensor cores read channels last; other layouts are converted before each convolution
            images = images.contiguous(memory_format=torch.channels_last)
        x = self.stem(images)
        if masks is not None:
            masks = self.cells.spread_masks(masks, *x.shape[-2:]).unsqueeze(1)
            x = torch.where(masks, self.mask_token[..., None, None].to(x.dtype), x)
        for i, active in enumerate(self.space.active_blocks(subnet)):
            blocks = getattr(self, f'layer{i + 1}')
            for index in active:
                x = self.run_block(blocks[index], x, subnet.width * 2**i)
            yield x

    def map_channels(self, subnet: Subnet | str | None = None) -> tuple[int, ...]:
        """See :meth:`ElasticBackbone.map_channels`: the same for all sub-networks."""
        return tuple(self.out_channels * 2**i for i in range(len(self.space.stages)))

    def static_config(self, subnet: Subnet | str | None = None) -> dict:
        """Config of the ResNet that a sub-network becomes.

        ``mmpretrain.ResNet`` if it can express the size: the depth of a published ResNet, and a width that
        divides the output channels. Else :class:`StaticResNet`.
        """
        subnet = self.resolve(subnet)
        if subnet.depth in PUBLISHED and self.out_channels % subnet.width == 0:
            return dict(
                type='mmpretrain.ResNet',
                depth=PUBLISHED[subnet.depth],
                base_channels=subnet.width,
                expansion=self.out_channels // subnet.width,
                **self._common_config(subnet),
            )
        return self._any_size_config(subnet)

    @classmethod
    def static_size(cls, static: Mapping[str, Any]) -> tuple[int, tuple[int, ...]]:
        """See :meth:`ElasticBackbone.static_size`."""
        if 'stage_blocks' in static:
            return static['mid_channels'], tuple(static['stage_blocks'])
        return static.get('base_channels', 64), STAGES[static['depth']]

    @classmethod
    def elastic_config(cls, static: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`ElasticBackbone.elastic_config`."""
        width, blocks = cls.static_size(static)
        out_channels = static['out_channels'] if 'out_channels' in static else width * static['expansion']
        return dict(
            widths=(width, width, 1),
            depths=[(depth, depth) for depth in blocks],
            stem_channels=static['stem_channels'],
            out_channels=out_channels,
            num_groups=static['norm_cfg']['num_groups'],
            mask_stride=STEM_STRIDE * 2 ** (len(blocks) - 1),
        )

    def dense_config(self, subnet: Subnet | str | None, toolbox: str) -> dict:
        """Config of ``mmdet.ResNet`` or its twin in mmseg if they can express the size, else :class:`StaticResNet`.

        Theirs have the depth of a published ResNet and four times as many output as middle channels.
        """
        subnet = self.resolve(subnet)
        if subnet.depth not in PUBLISHED or self.out_channels != 4 * subnet.width:
            return self._any_size_config(subnet)
        return dict(
            type=f'{toolbox}.ResNet',
            depth=PUBLISHED[subnet.depth],
            base_channels=subnet.width,
            **self._common_config(subnet),
        )

    def _any_size_config(self, subnet: Subnet) -> dict:
        return dict(
            type='poa_mm.StaticResNet',
            stage_blocks=list(subnet.depth),
            mid_channels=subnet.width,
            out_channels=self.out_channels,
            **self._common_config(subnet),
        )

    def _common_config(self, subnet: Subnet) -> dict:
        return dict(
            stem_channels=self.stem_channels,
            norm_cfg=dict(type='GN', num_groups=self.num_groups),
            out_indices=tuple(range(len(subnet.depth))),
        )

    @classmethod
    def paper_cell(cls, width: int, depth: tuple[int, ...]) -> tuple[str, str] | None:
        """Rows are widths, columns are the blocks of the second and the third stage."""
        if len(depth) != 4 or (depth[0], depth[3]) != (3, 3):
            return None
        return str(width), f'{depth[1]}-{depth[2]}'
