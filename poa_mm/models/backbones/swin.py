"""Elastic Swin Transformer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from poa_mm.elastic import (
    ElasticConv2d,
    ElasticLayerNorm,
    ElasticLinear,
    SliceRule,
    Subnet,
    SubnetSpace,
    choices,
)
from poa_mm.elastic.reordering import Member, Units
from poa_mm.errors import UserError
from poa_mm.registry import MODELS

from .attention import attend
from .base import ElasticBackbone
from .block_units import Branch, block_branches, block_channels, block_units, make_units, norm_members
from .drop_path import Kept, Shapes, add_residual
from .ffn import ElasticFFN
from .layer_depth import LayerNames
from .mask_cells import MaskCells
from .windows import merge_windows, partition_windows, relative_position_index, shift_mask

Sizes = Sequence[tuple[int, int, int]]


def split_sizes(x: Tensor, sizes: Sizes) -> list[Tensor]:
    """Tokens ``(T, D)`` of several crop sizes as maps ``(N, H, W, D)``."""
    parts = x.split([n * h * w for n, h, w in sizes])
    return [part.view(*size, -1) for part, size in zip(parts, sizes)]


def join_sizes(maps: Sequence[Tensor]) -> Tensor:
    """The inverse of :func:`split_sizes`; takes ``(N, H, W, D)`` or any other ``(..., D)``."""
    return torch.cat([m.flatten(0, -2) for m in maps])


class ElasticWindowMSA(nn.Module):
    """Self-attention in windows; a narrower input has fewer heads of the same size.

    Args:
        embed_dims: Token size of the intact network.
        head_dim: Size of a head.
        window_size: Side of a window.
        scaled: Whether slices are scaled.
        shift_single: Whether windows are shifted also where the map is a single window.
    """

    slice_rules = {'relative_position_bias_table': SliceRule((1,))}

    def __init__(
        self, embed_dims: int, head_dim: int, window_size: int, scaled: bool, shift_single: bool = True
    ) -> None:
        super().__init__()
        self.head_dim, self.window_size, self.shift_single = head_dim, window_size, shift_single
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * window_size - 1) ** 2, embed_dims // head_dim)
        )
        self.register_buffer('relative_position_index', relative_position_index(window_size))
        self.qkv = ElasticLinear(embed_dims, 3 * embed_dims, groups=3, scaled=scaled)
        self.proj = ElasticLinear(embed_dims, embed_dims, scaled=scaled)

    def forward(self, x: Tensor, sizes: Sizes, shift: int) -> Tensor:
        """``(T, D) -> (T, D)``.

        Args:
            x: Tokens of all crop sizes.
            sizes: The ``(N, H, W)`` of every crop size.
            shift: By how much the windows are shifted.
        """
        shifts = [shift if self.shift_single or min(h, w) > self.window_size else 0 for _, h, w in sizes]
        windows = [partition_windows(m, self.window_size, s) for m, s in zip(split_sizes(x, sizes), shifts)]
        qkv = self.qkv(join_sizes(windows)).split([w.shape[:-1].numel() for w in windows])
        bias = self._bias(x.shape[-1] // self.head_dim)
        out = []
        for part, window, (_, height, width), shift in zip(qkv, windows, sizes, shifts):
            part = part.view(*window.shape[:-1], 3, -1, self.head_dim).permute(3, 0, 1, 4, 2, 5)
            attended = self._window_products(part, bias, height, width, shift).transpose(2, 3).flatten(3)
            out.append(merge_windows(attended, height, width, self.window_size, shift))
        return self.proj(join_sizes(out))

    def _bias(self, num_heads: int) -> Tensor:
        """Relative position bias ``(num_heads, area, area)``."""
        table, index = self.relative_position_bias_table[:, :num_heads], self.relative_position_index
        return table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1)

    def _window_products(self, qkv: Tensor, bias: Tensor, height: int, width: int, shift: int) -> Tensor:
        """``(3, N, windows, heads, area, head_dim) -> (N, windows, heads, area, head_dim)``.

        The mask must broadcast over the first axis, so windows join the images where all have the same mask,
        and the heads where each has its own.
        """
        shape = qkv.shape[1:]
        if shift:
            mask = shift_mask(height, width, self.window_size, shift, bias.device, bias.dtype)
            bias, qkv = (bias + mask).flatten(0, 1), qkv.flatten(2, 3)
        else:
            qkv = qkv.flatten(1, 2)
        return attend(*qkv, bias).view(shape)


class ElasticSwinBlock(nn.Module):
    """Pre-norm Transformer block with attention in windows, on the tokens of several crop sizes."""

    def __init__(
        self,
        embed_dims: int,
        head_dim: int,
        window_size: int,
        scaled: bool,
        shift_single: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = ElasticLayerNorm(embed_dims)
        self.attn = nn.Module()  # mmpretrain's names
        self.attn.w_msa = ElasticWindowMSA(embed_dims, head_dim, window_size, scaled, shift_single)
        self.norm2 = ElasticLayerNorm(embed_dims)
        self.ffn = ElasticFFN(embed_dims, 4 * embed_dims, 0, scaled)

    def forward(self, x: Tensor, sizes: Sizes, shift: int, kept: Sequence[Kept | None] = (None, None)) -> Tensor:
        """``(T, D) -> (T, D)``; see :class:`ElasticWindowMSA`. ``kept``: what attention and feed-forward compute."""

        def attention(x: Tensor, shapes: Shapes) -> Tensor:
            return self.attn.w_msa(self.norm1(x), [(n, h, w) for (n, _), (_, h, w) in zip(shapes, sizes)], shift)

        shapes = [(n, h * w) for n, h, w in sizes]
        x = add_residual(x, shapes, attention, kept[0])
        return add_residual(x, shapes, lambda x, _: self.ffn(self.norm2(x)), kept[1])


class ElasticPatchMerging(nn.Module):
    """Four neighbours to one token of twice the size; channel by channel, so a slice is a leading slice."""

    def __init__(self, embed_dims: int, scaled: bool) -> None:
        super().__init__()
        self.norm = ElasticLayerNorm(4 * embed_dims)
        self.reduction = ElasticLinear(4 * embed_dims, 2 * embed_dims, bias=False, scaled=scaled)

    def forward(self, x: Tensor, sizes: Sizes) -> tuple[Tensor, Sizes]:
        """``(T, D) -> (T', 2 D)`` and the new sizes; odd maps are padded with zeros."""
        merged = []
        for m in split_sizes(x, sizes):
            m = F.pad(m, (0, 0, 0, m.shape[2] % 2, 0, m.shape[1] % 2))
            m = m.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # N, H / 2, 2, W / 2, 2, D
            merged.append(m.permute(0, 1, 3, 5, 2, 4).flatten(3))
        return self.reduction(self.norm(join_sizes(merged))), [tuple(m.shape[:3]) for m in merged]


@MODELS.register_module()
class ElasticSwinTransformer(ElasticBackbone):
    """Swin Transformer that holds all its sub-networks (POA, sec. 3.1).

    Parameters have the names and shapes of ``mmpretrain.SwinTransformer`` of the intact size with all output
    norms, plus ``mask_token``. Every second block *of a sub-network* has shifted windows, so each is a genuine
    Swin; the authors tie the shift to the intact network's blocks, which agrees at full depth. Crops of several
    sizes run concatenated through all layers that work per token; windows are cut for each size.

    Args:
        img_size: Size of a global crop, in pixels.
        patch_size: Size of a patch, in pixels.
        widths: Token sizes of the first stage: a tuple of the smallest, the largest and the step between, or a list of
            all. They double every stage.
        depths: Numbers of blocks of the elastic stage, given in the same way; the step is 1 by default.
        stage_depths: Blocks of every stage, ``None`` for the elastic one.
        head_dim: Size of an attention head; the number of heads follows from the width.
        window_size: Side of a window, in tokens.
        pad_small_map: Whether windows are shifted also where the map is a single window, as in the paper, mmdet and
            mmseg. False is the original Swin, whose last map is one window at 224 px.
        mask_stride: Side of a mask cell, in pixels.
        drop_path_rate: Share of samples that skip the last block's residual branches; it rises linearly from 0
            at the first one.
        scaled: Whether the products with sliced weights are scaled (False: POA, table 16).
        with_cp: Whether activations are recomputed in the backward pass, block by block.
        bf16_residual: Whether mixed precision keeps the tokens between blocks in bfloat16 too: fewer bytes are moved,
            but every block rounds them. Its effect on results has not been measured.
        init_cfg: Initialisation config of MMEngine, for example a checkpoint.

    Raises:
        UserError: If not exactly one stage is elastic, a width is not a multiple of the head size, the last map or
            the mask cells do not tile the image, or a range is empty.
    """

    static_types = ('SwinTransformer',)
    names = {'T': (96, 6), 'S': (96, 18), 'B': (128, 18)}
    paper_names = {'T': 'Swin-T/W7', 'S': 'Swin-S/W7', 'B': 'Swin-B/W7'}
    paper_table = 'knn_swin'
    layer_names = LayerNames(
        marks=('stages.0.blocks.0.', '.relative_position_bias_table'),
        block=r'stages\.(\d+)\.blocks\.(\d+)\.',
        before='mask_token|patch_embed|absolute_pos_embed',
        downsample=r'stages\.(\d+)\.downsample\.',
        downsample_offset=1,
    )
    loader_prefixes = {'mmdet.SwinTransformer': ('backbone.', True), 'mmseg.SwinTransformer': ('backbone.', False)}

    def __init__(
        self,
        img_size: int = 224,
        patch_size: int = 4,
        widths: tuple[int, int, int] | list[int] = (96, 128, 16),
        depths: tuple[int, ...] | list[int] = (6, 18),
        stage_depths: Sequence[int | None] = (2, 2, None, 2),
        head_dim: int = 16,
        window_size: int = 7,
        pad_small_map: bool = True,
        mask_stride: int = 16,
        drop_path_rate: float = 0.0,
        scaled: bool = True,
        with_cp: bool = False,
        bf16_residual: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if list(stage_depths).count(None) != 1:
            raise UserError(f'stage_depths must hold one None, for the elastic stage; got {stage_depths}')
        elastic_depths = choices('depths', depths)
        self.space = SubnetSpace(
            choices('widths', widths),
            [elastic_depths if depth is None else [depth] for depth in stage_depths],
            depth_stage=list(stage_depths).index(None),
            names=self.names,
        )
        for width in self.space.widths:
            if width % head_dim:
                raise UserError(f'width {width} is not a multiple of head_dim {head_dim}')
        last_stride = patch_size * 2 ** (len(stage_depths) - 1)
        if img_size % last_stride:
            raise UserError(f'img_size {img_size} is not a multiple of the stride of the last map, {last_stride}')
        self.img_size, self.patch_size = img_size, patch_size
        self.head_dim, self.window_size, self.pad_small_map = head_dim, window_size, pad_small_map
        self.cells = MaskCells(patch_size, mask_stride, last_stride)
        self.with_cp, self.bf16_residual = with_cp, bf16_residual
        embed_dims = self.space.intact.width
        self.patch_embed = nn.Module()  # mmpretrain's names
        self.patch_embed.projection = ElasticConv2d(3, embed_dims, patch_size, stride=patch_size, elastic_in=False)
        self.patch_embed.norm = ElasticLayerNorm(embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, embed_dims))
        self.slice_rules = {'mask_token': SliceRule((-1,))}
        self.depths = self.space.stage_depths(self.space.intact)
        # Python's floats: NumPy's break the graph that torch.compile makes of a block.
        rates = iter(np.linspace(0, drop_path_rate, sum(self.depths)).tolist())
        self.drop_path_rates = [[next(rates) for _ in range(depth)] for depth in self.depths]
        self.stages = nn.ModuleList()
        for i, depth in enumerate(self.depths):
            stage = nn.Module()
            stage.blocks = nn.ModuleList(
                ElasticSwinBlock(embed_dims * 2**i, head_dim, window_size, scaled, pad_small_map) for _ in range(depth)
            )
            if i + 1 < len(self.depths):
                stage.downsample = ElasticPatchMerging(embed_dims * 2**i, scaled)
            self.stages.append(stage)
            # Pre-training reads the last stage alone; DDP waits for the device where a parameter gets no gradient.
            last = i + 1 == len(self.depths)
            self.add_module(f'norm{i}', ElasticLayerNorm(embed_dims * 2**i).requires_grad_(last))
        self.block_prefixes = tuple(f'stages.{i}.blocks.' for i in range(len(self.depths)))

    def forward(
        self, crops: Sequence[Tensor], masks: Tensor | None = None, subnet: Subnet | str | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """See :meth:`ElasticBackbone.forward`.

        The image feature is the mean of the normed tokens of the last stage. These are fewer than the mask cells
        and repeated for them. Without masks, images of any size do: maps are padded as in every Swin.
        """
        subnet = self.resolve(subnet)
        maps = [self._embed(images, masks if i == 0 else None, subnet.width) for i, images in enumerate(crops)]
        ((x, sizes),) = deque(self._run_stages(maps, subnet), maxlen=1)
        x = getattr(self, f'norm{len(self.stages) - 1}')(x)
        return [(m.mean((1, 2)), self.cells.spread_features(m)) for m in split_sizes(x, sizes)]

    def level_features(self, images: Tensor, subnet: Subnet | str | None = None) -> tuple[list[Tensor], None]:
        """See :meth:`ElasticBackbone.level_features`. Means of every stage's normed tokens."""
        subnet = self.resolve(subnet)
        stages = self._run_stages([self._embed(images, None, subnet.width)], subnet)
        maps = [split_sizes(getattr(self, f'norm{i}')(x), sizes)[0] for i, (x, sizes) in enumerate(stages)]
        return [m.mean((1, 2)) for m in maps], None

    def _run_stages(self, maps: Sequence[Tensor], subnet: Subnet) -> Iterator[tuple[Tensor, Sizes]]:
        """The tokens ``(T, D_i)`` after each stage, and the ``(N, H, W)`` of every crop size."""
        x, sizes = self.as_residual(join_sizes(maps)), [tuple(m.shape[:3]) for m in maps]
        for i, (stage, active) in enumerate(zip(self.stages, self.space.active_blocks(subnet))):
            if i:
                x, sizes = self.stages[i - 1].downsample(x, sizes)
            rates = [self.drop_path_rates[i][index] for index in active]
            drawn = self.draw_kept([(n, h * w) for n, h, w in sizes], rates, x.device)
            for position, (index, kept) in enumerate(zip(active, drawn)):
                shift = self.window_size // 2 if position % 2 else 0
                x = self.run_block(stage.blocks[index], x, sizes, shift, kept)
            yield x, sizes

    def _embed(self, images: Tensor, masks: Tensor | None, width: int) -> Tensor:
        """Images ``(N, 3, H, W)`` to the stem's map ``(N, H', W', width)``."""
        height, width_px = images.shape[-2:]
        images = F.pad(images, (0, -width_px % self.patch_size, 0, -height % self.patch_size))
        x = self.patch_embed.norm(self.patch_embed.projection(images, width).permute(0, 2, 3, 1))
        if masks is not None:
            masks = self.cells.spread_masks(masks, *x.shape[1:3]).unsqueeze(-1)
            x = torch.where(masks, self.mask_token[0, :width].to(x.dtype), x)
        return x

    def units(self) -> list[Units]:
        """See :meth:`ElasticBackbone.units`: the channels of every stage, heads and hidden units."""
        parameters, last = dict(self.named_parameters()), len(self.stages) - 1
        found = []
        for i, (stage, width) in enumerate(zip(self.stages, self.map_channels())):
            if i:
                channels = [Member(f'stages.{i - 1}.downsample.reduction.weight', 0)]
            else:
                stem = [f'{name}.{part}' for name in ('projection', 'norm') for part in ('weight', 'bias')]
                channels = [Member('mask_token', -1), *(Member(f'patch_embed.{name}', 0) for name in stem)]
            for block in (f'stages.{i}.blocks.{j}.' for j in range(len(stage.blocks))):
                channels += block_channels(block, ('norm1', 'norm2'), 'attn.w_msa')
                found += block_units(block, 'attn.w_msa', width // self.head_dim, parameters)
            # A token's four neighbours follow each other in every channel, so a unit has four entries.
            channels += norm_members(f'norm{i}', f'stages.{i}.downsample.norm')
            channels += [Member(f'stages.{i}.downsample.reduction.weight', 1)]
            name = 'channels' if i == last else f'channels of stage {i + 1}'
            found.append(make_units(name, width, channels, parameters))
        return found

    def branches(self) -> dict[str, list[Branch]]:
        """See :meth:`ElasticBackbone.branches`."""
        parameters = dict(self.named_parameters())
        blocks = [f'stages.{i}.blocks.{j}.' for i, depth in enumerate(self.depths) for j in range(depth)]
        return {block: block_branches(block, 'attn.w_msa', parameters) for block in blocks}

    def map_channels(self, subnet: Subnet | str | None = None) -> tuple[int, ...]:
        """See :meth:`ElasticBackbone.map_channels`: the width, doubled every stage."""
        return tuple(self.resolve(subnet).width * 2**i for i in range(len(self.stages)))

    def static_config(self, subnet: Subnet | str | None = None) -> dict:
        """Config of the ``mmpretrain.SwinTransformer`` that a sub-network becomes."""
        subnet = self.resolve(subnet)
        depths = self.space.stage_depths(subnet)
        return dict(
            type='mmpretrain.SwinTransformer',
            arch=dict(
                embed_dims=subnet.width,
                depths=list(depths),
                num_heads=[subnet.width * 2**i // self.head_dim for i in range(len(depths))],
            ),
            img_size=self.img_size,
            patch_size=self.patch_size,
            window_size=self.window_size,
            pad_small_map=self.pad_small_map,
            drop_path_rate=0.0,
            out_indices=tuple(range(len(depths))),
        )

    @classmethod
    def static_size(cls, static: Mapping[str, Any]) -> tuple[int, int]:
        """See :meth:`ElasticBackbone.static_size`. The depth is that of the deepest stage."""
        arch = static.get('arch', static)  # mmdet's and mmseg's have the sizes as arguments
        return arch['embed_dims'], max(arch['depths'])

    @classmethod
    def elastic_config(cls, static: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`ElasticBackbone.elastic_config`."""
        width, depth = cls.static_size(static)
        depths = list(static['arch']['depths'])
        deepest = depths.index(depth)
        return dict(
            img_size=static['img_size'],
            patch_size=static['patch_size'],
            widths=(width, width, 1),
            depths=(depth, depth),
            stage_depths=[None if i == deepest else blocks for i, blocks in enumerate(depths)],
            head_dim=width // static['arch']['num_heads'][0],
            window_size=static['window_size'],
            pad_small_map=static['pad_small_map'],
            mask_stride=static['patch_size'] * 2 ** (len(depths) - 1),
        )

    def dense_config(self, subnet: Subnet | str | None, toolbox: str) -> dict:
        """Config of ``mmdet.SwinTransformer`` or its twin in mmseg: the normed map of every stage."""
        static = self.static_config(subnet)
        stages = len(static['arch']['depths'])
        return dict(
            type=f'{toolbox}.SwinTransformer',
            pretrain_img_size=self.img_size,
            patch_size=self.patch_size,
            **static['arch'],
            window_size=self.window_size,
            strides=(self.patch_size,) + (2,) * (stages - 1),
            drop_path_rate=0.0,
            out_indices=static['out_indices'],
        )

    @classmethod
    def paper_cell(cls, width: int, depth: int) -> tuple[str, int]:
        """Rows are widths, columns are the blocks of all stages."""
        return str(width), 6 + depth
