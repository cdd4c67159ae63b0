"""Elastic Vision Transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

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
from .ffn import ElasticFFN, ElasticSwiGLU, layer_scale
from .layer_depth import LayerNames

STATIC_LN_EPS = 1e-6  # the default of mmpretrain.VisionTransformer
TOKEN_RULE = SliceRule((-1,))
FFNS = {'mlp': ElasticFFN, 'swiglu': ElasticSwiGLU}


class ElasticAttention(nn.Module):
    """Multi-head self-attention; a narrower input has fewer heads of the same size.

    Args:
        embed_dims: Token size of the intact network.
        head_dim: Size of a head.
        layer_scale_init_value: Initial value of the factor on the output; 0 for none.
        scaled: Whether slices are scaled.
    """

    def __init__(self, embed_dims: int, head_dim: int, layer_scale_init_value: float, scaled: bool) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.qkv = ElasticLinear(embed_dims, 3 * embed_dims, groups=3, scaled=scaled)
        self.proj = ElasticLinear(embed_dims, embed_dims, scaled=scaled)
        self.gamma1 = layer_scale(embed_dims, layer_scale_init_value)

    def forward(self, x: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """``(T, D) -> (T, D)``; ``shapes`` lists the ``(N, L)`` of the crop sizes that make up ``T``."""
        qkv = self.qkv(x)
        out = []
        for part, (n, length) in zip(qkv.split([n * length for n, length in shapes]), shapes):
            q, k, v = part.view(n, length, 3, -1, self.head_dim).permute(2, 0, 3, 1, 4)
            attended = attend(q, k, v)
            out.append(attended.transpose(1, 2).reshape(n * length, -1))
        return self.proj(torch.cat(out) if len(out) > 1 else out[0], getattr(self.gamma1, 'weight', None))


class ElasticTransformerLayer(nn.Module):
    """Pre-norm Transformer block on the concatenated tokens of several crop sizes."""

    def __init__(
        self,
        embed_dims: int,
        head_dim: int,
        layer_scale_init_value: float,
        scaled: bool,
        ffn: str,
        ln_eps: float,
    ) -> None:
        super().__init__()
        self.ln1 = ElasticLayerNorm(embed_dims, eps=ln_eps)
        self.attn = ElasticAttention(embed_dims, head_dim, layer_scale_init_value, scaled)
        self.ln2 = ElasticLayerNorm(embed_dims, eps=ln_eps)
        self.ffn = FFNS[ffn](embed_dims, FFNS[ffn].hidden_dims(embed_dims), layer_scale_init_value, scaled)

    def forward(self, x: Tensor, shapes: Shapes, kept: Sequence[Kept | None] = (None, None)) -> Tensor:
        """``(T, D) -> (T, D)``.

        Args:
            x: Tokens of all crop sizes.
            shapes: The ``(N, L)`` of every crop size.
            kept: The samples that attention and feed-forward network compute.
        """
        x = add_residual(x, shapes, lambda x, shapes: self.attn(self.ln1(x), shapes), kept[0])
        return add_residual(x, shapes, lambda x, shapes: self.ffn(self.ln2(x)), kept[1])


@MODELS.register_module()
class ElasticVisionTransformer(ElasticBackbone):
    """Vision Transformer that holds all its sub-networks (POA, sec. 3.1).

    Parameters have the names and shapes of ``mmpretrain.VisionTransformer`` of the intact size, plus
    ``mask_token``. Crops of several sizes run concatenated through all layers that work per token;
    attention is computed for each size.

    Args:
        img_size: Size of a global crop, in pixels; the size that the positions are learned at.
        patch_size: Size of a patch, in pixels.
        widths: Token sizes: a tuple of the smallest, the largest and the step between, or a list of all.
        depths: Numbers of blocks, given in the same way; the step is 1 by default.
        head_dim: Size of an attention head; the number of heads follows from the width.
        layer_scale_init_value: Initial value of LayerScale; 0 for none.
        drop_path_rate: Share of samples that skip a residual branch, the same in all blocks.
        scaled: Whether the products with sliced weights are scaled (False: POA, table 16).
        num_registers: Learned tokens without a position between class token and patches, as in DINOv2's networks
            with registers. They are not among the patch features.
        ffn: ``'mlp'``, or ``'swiglu'`` as in DINOv2's ViT-g.
        ln_eps: Added to the variance by every LayerNorm.
        with_cp: Whether activations are recomputed in the backward pass, block by block.
        bf16_residual: Whether mixed precision keeps the tokens between blocks in bfloat16 too: fewer bytes are moved,
            but every block rounds them. Short runs of small ViTs learn as well (``docs/results.md``).
        init_cfg: Initialisation config of MMEngine, for example a checkpoint.

    Raises:
        UserError: If the patch size does not divide the image size, a width is not a multiple of the head
            size or of what SwiGLU needs, ``ffn`` is unknown, or a range is empty.
    """

    static_types = ('VisionTransformer', 'RegisterVisionTransformer')
    names = {'S': (384, 12), 'B': (768, 12), 'L': (1024, 24)}
    paper_names = {'S': 'ViT-S/16', 'B': 'ViT-B/16', 'L': 'ViT-L/16'}
    paper_table = 'knn_vit'
    layer_names = LayerNames(
        marks=('pos_embed', 'layers.0.ln1.'),
        block=r'()layers\.(\d+)\.',
        before='cls_token|pos_embed|mask_token|register_tokens|patch_embed|pre_norm',
    )
    block_prefixes = ('layers.',)
    image_only = ('ln1.weight', 'ln1.bias')

    def __init__(
        self,
        img_size: int = 224,
        patch_size: int = 16,
        widths: tuple[int, int, int] | list[int] = (384, 1024, 64),
        depths: tuple[int, ...] | list[int] = (12, 24),
        head_dim: int = 64,
        layer_scale_init_value: float = 1e-5,
        drop_path_rate: float = 0.0,
        scaled: bool = True,
        num_registers: int = 0,
        ffn: str = 'mlp',
        ln_eps: float = 1e-6,
        with_cp: bool = False,
        bf16_residual: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if ffn not in FFNS:
            raise UserError(f'ffn must be one of {list(FFNS)}, got {ffn!r}')
        if img_size % patch_size:
            raise UserError(
                f'img_size {img_size} is not a multiple of patch_size {patch_size}; '
                f'the nearest are {img_size // patch_size * patch_size} and '
                f'{(img_size // patch_size + 1) * patch_size}'
            )
        self.space = SubnetSpace(choices('widths', widths), [choices('depths', depths)], names=self.names)
        for width in self.space.widths:
            if width % head_dim:
                raise UserError(f'width {width} is not a multiple of head_dim {head_dim}')
            if ffn == 'swiglu' and width % 3:
                raise UserError(
                    f'width {width} is not a multiple of 3: a SwiGLU network has 8 / 3 times as many hidden units'
                )
        self.img_size, self.patch_size, self.head_dim = img_size, patch_size, head_dim
        self.layer_scale_init_value, self.drop_path_rate = layer_scale_init_value, drop_path_rate
        self.num_registers, self.ffn, self.ln_eps = num_registers, ffn, ln_eps
        self.with_cp, self.bf16_residual = with_cp, bf16_residual
        embed_dims, num_layers = self.space.intact.width, self.space.intact.depth
        self.grid = img_size // patch_size
        self.patch_embed = nn.Module()  # mmpretrain's names
        self.patch_embed.projection = ElasticConv2d(3, embed_dims, patch_size, stride=patch_size, elastic_in=False)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dims))
        self.pos_embed = nn.Parameter(torch.empty(1, self.grid**2 + 1, embed_dims))
        self.mask_token = nn.Parameter(torch.zeros(1, embed_dims))
        self.slice_rules = dict.fromkeys(('cls_token', 'pos_embed', 'mask_token'), TOKEN_RULE)
        if num_registers:
            self.register_tokens = nn.Parameter(torch.empty(1, num_registers, embed_dims))
            self.slice_rules['register_tokens'] = TOKEN_RULE
        self.layers = nn.ModuleList(
            ElasticTransformerLayer(embed_dims, head_dim, layer_scale_init_value, scaled, ffn=ffn, ln_eps=ln_eps)
            for _ in range(num_layers)
        )
        self.ln1 = ElasticLayerNorm(embed_dims, eps=ln_eps)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        if self.num_registers:
            nn.init.normal_(self.register_tokens, std=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(
        self, crops: Sequence[Tensor], masks: Tensor | None = None, subnet: Subnet | str | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """See :meth:`ElasticBackbone.forward`. The image feature is the class token after the norm."""
        subnet = self.resolve(subnet)
        tokens = [self._embed(images, masks if i == 0 else None, subnet.width) for i, images in enumerate(crops)]
        shapes = [tuple(t.shape[:2]) for t in tokens]
        x = self.as_residual(torch.cat([t.flatten(0, 1) for t in tokens]))
        active = self.space.active_blocks(subnet)[0]
        for i, kept in zip(active, self.draw_kept(shapes, [self.drop_path_rate] * len(active), x.device)):
            x = self.run_block(self.layers[i], x, shapes, kept)
        parts = self.ln1(x).split([n * length for n, length in shapes])
        parts = [part.view(*shape, -1) for part, shape in zip(parts, shapes)]
        return [(part[:, 0], part[:, 1 + self.num_registers :]) for part in parts]

    def level_features(self, images: Tensor, subnet: Subnet | str | None = None) -> tuple[list[Tensor], Tensor]:
        """See :meth:`ElasticBackbone.level_features`. Class tokens after three blocks and the last, all normed.

        The blocks are ``round(L i / 4)``, i = 1, 2, 3, counted from 0: 3, 6, 9 and 11 of 12.
        """
        subnet = self.resolve(subnet)
        active = self.space.active_blocks(subnet)[0]
        levels = [min(round(len(active) * i / 4), len(active) - 1) for i in (1, 2, 3)] + [len(active) - 1]
        x = self._embed(images, None, subnet.width)
        shapes, found = [tuple(x.shape[:2])], {}
        x = x.flatten(0, 1)
        for position, index in enumerate(active):
            x = self.run_block(self.layers[index], x, shapes)
            if position in levels:
                found[position] = self.ln1(x).view(*shapes[0], -1)
        return [found[level][:, 0] for level in levels], found[levels[-1]][:, 1 + self.num_registers :].mean(1)

    def _embed(self, images: Tensor, masks: Tensor | None, width: int) -> Tensor:
        """Images ``(N, 3, H, W)`` to tokens ``(N, 1 + R + P, width)``: class token, registers, patches."""
        height, width_px = images.shape[-2:]
        if height % self.patch_size or width_px % self.patch_size:
            raise UserError(f'image size {height} x {width_px} is not a multiple of patch_size {self.patch_size}')
        x = self.patch_embed.projection(images, width)
        grid = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        if masks is not None:
            if masks.shape != x.shape[:2]:
                raise UserError(
                    f'masks of shape {tuple(masks.shape)} do not fit {len(x)} crops of {grid[0]} x {grid[1]} patches; '
                    'collate_fn.grid must be the crop size over the patch size'
                )
            x = torch.where(masks.unsqueeze(-1), self.mask_token[:, :width].to(x.dtype), x)
        cls_token = self.cls_token[..., :width].expand(len(x), -1, -1)
        x = torch.cat([cls_token, x], dim=1) + self._positions(grid, width)
        if not self.num_registers:
            return x
        registers = self.register_tokens[..., :width].expand(len(x), -1, -1)
        return torch.cat([x[:, :1], registers.to(x.dtype), x[:, 1:]], dim=1)

    def _positions(self, grid: Sequence[int], width: int) -> Tensor:
        """Positions ``(1, 1 + P, width)`` for a grid of patches, resized by bicubic interpolation.

        By target size, as mmpretrain does (the authors add 0.1 to it), with the class position kept apart.
        """
        positions = self.pos_embed[..., :width]
        if tuple(grid) == (self.grid, self.grid):
            return positions
        patches = positions[:, 1:].reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        patches = F.interpolate(patches.float(), size=tuple(grid), mode='bicubic', align_corners=False)
        return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)

    def units(self) -> list[Units]:
        """See :meth:`ElasticBackbone.units`: channels, heads and hidden units."""
        parameters, width = dict(self.named_parameters()), self.space.intact.width
        tokens = ('cls_token', 'pos_embed', 'mask_token', 'register_tokens')
        channels = [Member(name, -1) for name in tokens]
        channels += [Member(f'patch_embed.projection.{part}', 0) for part in ('weight', 'bias')]
        units = []
        for block in self.branches():
            channels += block_channels(block, ('ln1', 'ln2'), 'attn')
            units += block_units(block, 'attn', width // self.head_dim, parameters)
        return [make_units('channels', width, channels + norm_members('ln1'), parameters), *units]

    def branches(self) -> dict[str, list[Branch]]:
        """See :meth:`ElasticBackbone.branches`."""
        parameters = dict(self.named_parameters())
        blocks = [f'layers.{i}.' for i in range(len(self.layers))]
        return {block: block_branches(block, 'attn', parameters) for block in blocks}

    def map_channels(self, subnet: Subnet | str | None = None) -> tuple[int, ...]:
        """See :meth:`ElasticBackbone.map_channels`: four times the width."""
        return (self.resolve(subnet).width,) * 4

    def static_config(self, subnet: Subnet | str | None = None) -> dict:
        """Config of the ``mmpretrain.VisionTransformer`` that a sub-network becomes; ours with registers."""
        subnet = self.resolve(subnet)
        static = dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(
                embed_dims=subnet.width,
                num_layers=subnet.depth,
                num_heads=subnet.width // self.head_dim,
                feedforward_channels=4 * subnet.width,
            ),
            img_size=self.img_size,
            patch_size=self.patch_size,
            layer_scale_init_value=self.layer_scale_init_value,
        )
        if self.num_registers:
            static.update(type='poa_mm.RegisterVisionTransformer', num_registers=self.num_registers)
        if self.ffn == 'swiglu':
            static['layer_cfgs'] = dict(ffn_type='swiglu_fused')  # takes two thirds of feedforward_channels
        if self.ln_eps != STATIC_LN_EPS:
            static['norm_cfg'] = dict(type='LN', eps=self.ln_eps)
        return static

    @classmethod
    def static_size(cls, static: Mapping[str, Any]) -> tuple[int, int]:
        """See :meth:`ElasticBackbone.static_size`."""
        return static['arch']['embed_dims'], static['arch']['num_layers']

    @classmethod
    def elastic_config(cls, static: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`ElasticBackbone.elastic_config`."""
        width, depth = cls.static_size(static)
        return dict(
            img_size=static['img_size'],
            patch_size=static['patch_size'],
            widths=(width, width, 1),
            depths=(depth, depth),
            head_dim=width // static['arch']['num_heads'],
            layer_scale_init_value=static['layer_scale_init_value'],
            num_registers=static.get('num_registers', 0),
            ffn='swiglu' if static.get('layer_cfgs') else 'mlp',
            ln_eps=static.get('norm_cfg', {}).get('eps', STATIC_LN_EPS),
        )

    def dense_config(self, subnet: Subnet | str | None, toolbox: str) -> dict:
        """Config of a ``mmpretrain.VisionTransformer``, also in mmdet and mmseg: maps after four blocks, not normed.

        The blocks are those of :func:`map_blocks`.
        """
        subnet = self.resolve(subnet)
        return dict(
            **self.static_config(subnet),
            out_type='featmap',
            out_indices=[block - 1 for block in map_blocks(subnet.depth)],
            final_norm=False,
        )

    @staticmethod
    def is_resized(network: nn.Module, name: str, value: Tensor) -> bool:
        """mmpretrain resizes positions that are a square of patches after the class position."""
        if name != 'pos_embed' or not hasattr(network, '_prepare_pos_embed'):
            return False
        patches = value.shape[1] - network.num_extra_tokens if value.ndim == 3 else 0
        return patches > 0 and math.isqrt(patches) ** 2 == patches and value.shape[2] == network.pos_embed.shape[2]

    @classmethod
    def paper_cell(cls, width: int, depth: int) -> tuple[str, int]:
        """Rows are depths, columns are widths."""
        return str(depth), width


def map_blocks(depth: int) -> list[int]:
    """The blocks, counted from 1, whose maps form a pyramid: 4, 6, 8 and 12 of 12, in proportion at other depths.

    Raises:
        UserError: With fewer than four blocks.
    """
    if depth < 4:
        raise UserError(f'a ViT with {depth} blocks has too few maps: detection and segmentation need 4')
    first, second = depth * 4 // 12, depth * 6 // 12
    return [first, second, max(depth * 8 // 12, second + 1), depth]
