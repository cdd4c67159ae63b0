"""ResNet of sizes that mmpretrain's arguments cannot express."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from mmpretrain.models.backbones.resnet import Bottleneck, ResLayer, ResNet
from torch import nn

from poa_mm.registry import MODELS

from .families import find_layer_depths

PUBLISHED = {blocks: depth for depth, (block, blocks) in ResNet.arch_settings.items() if block is Bottleneck}
STAGES = {depth: blocks for blocks, depth in PUBLISHED.items()}


class _Bottleneck(Bottleneck):
    """mmpretrain's bottleneck for any number of middle channels."""

    def __init__(self, in_channels: int, out_channels: int, mid_channels: int, **kwargs) -> None:
        kwargs['expansion'] = Fraction(out_channels, mid_channels)
        super().__init__(in_channels, out_channels, **kwargs)


@MODELS.register_module()
class StaticResNet(ResNet):
    """``mmpretrain.ResNet`` with any middle channels and any number of blocks.

    An extracted sub-network uses it if ``mmpretrain.ResNet`` cannot express its size: there, middle channels divide
    the output channels and the numbers of blocks are those of ResNet-50, 101 or 152. Parameter names are the same.
    Configs of mmdet and mmseg write ``poa_mm.StaticResNet``; like their own backbones it returns a tuple of maps.

    Args:
        stage_blocks: Blocks of every stage.
        mid_channels: Middle channels of the first stage; they double every stage.
        out_channels: Channels that leave the first stage; they double every stage.
        out_indices: Stages whose maps are returned; ``None`` for all.
        norm_cfg: Config of the normalisations.
        **kwargs: Other arguments of ``mmpretrain.ResNet``.
    """

    def __init__(
        self,
        stage_blocks: Sequence[int],
        mid_channels: int = 64,
        out_channels: int = 256,
        out_indices: Sequence[int] | None = None,
        norm_cfg: dict = dict(type='GN', num_groups=32),
        **kwargs,
    ) -> None:
        num_stages = len(stage_blocks)
        self.arch_settings = {None: (_Bottleneck, tuple(stage_blocks))}  # read by the parent under its depth
        self.mid_channels = mid_channels
        super().__init__(
            depth=None,
            base_channels=out_channels,
            expansion=1,  # the parent's outputs are base_channels * expansion; the block knows its own
            num_stages=num_stages,
            strides=kwargs.pop('strides', (1, 2, 2, 2)[:num_stages]),
            dilations=kwargs.pop('dilations', (1, 1, 1, 1)[:num_stages]),
            out_indices=tuple(range(num_stages)) if out_indices is None else out_indices,
            norm_cfg=norm_cfg,
            **kwargs,
        )

    def make_res_layer(self, out_channels: int, **kwargs) -> nn.Module:
        """A stage; called by the parent."""
        mid_channels = self.mid_channels * out_channels // self.base_channels
        return ResLayer(out_channels=out_channels, mid_channels=mid_channels, **kwargs)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """See :class:`LayerDepths`; the parent knows the published depths only."""
        depths = find_layer_depths(name for name, _ in self.named_parameters())
        assert depths is not None
        return depths(param_name, prefix)
