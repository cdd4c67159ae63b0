"""Layers whose leading slice is a smaller layer.

A layer takes its size from its input: an input of ``D`` out of ``D_max`` features means the slice of that
width. Where the input is not elastic (a patch embedding), the number of outputs is an argument. A full-size
call is the plain PyTorch layer. Parameters have the names and shapes of the plain layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .slicing import SliceRule, slice_tensor


class ElasticLinear(nn.Linear):
    """Linear layer cut to its input: ``y = a W[:n, :m] x + b[:n]``, ``a = in_features / m`` (POA, eq. 1).

    The slice of the weight is multiplied by ``a``, and by LayerScale's gain where there is one: as many products as it
    has entries, in the forward pass and in the backward pass, instead of as many as there are activations.

    Args:
        in_features: Inputs of the intact layer.
        out_features: Outputs of the intact layer.
        bias: Whether there is a bias.
        groups: Equal groups of outputs that are cut one by one (3 for a fused qkv).
        elastic_out: Whether the outputs shrink with the inputs.
        scaled: Whether ``a`` is applied (else 1; POA, table 16).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        groups: int = 1,
        elastic_out: bool = True,
        scaled: bool = True,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.slice_rules = {'weight': SliceRule((0, 1) if elastic_out else (1,), groups, scaled)}
        if bias and elastic_out:
            self.slice_rules['bias'] = SliceRule((0,), groups)

    def forward(self, x: Tensor, gain: Tensor | None = None) -> Tensor:
        """``(..., m) -> (..., n)``.

        Args:
            x: The input.
            gain: A factor for each output of the intact layer (LayerScale): ``gain[:n] * y``.
        """
        size, full = x.shape[-1], self.in_features
        weight, bias = sliced_parameters(self, size, full)
        if gain is None:
            return F.linear(x, weight, bias)
        gain = gain[: len(weight)]
        if x.dtype == torch.float16:  # cannot hold a weight times a small gain
            return F.linear(x, weight, bias) * gain
        return F.linear(x, weight * gain.unsqueeze(1), None if bias is None else bias * gain)


def sliced_parameters(layer: nn.Linear | nn.Conv2d, size: int, full: int) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer cut to ``size`` of ``full`` by its ``slice_rules``, the weight scaled (POA, eq. 1)."""
    if size == full:
        return layer.weight, layer.bias
    rules = layer.slice_rules
    weight = slice_tensor(layer.weight, rules['weight'], size, full)
    if rules['weight'].scaled:
        weight = weight * (full / size)
    bias = slice_tensor(layer.bias, rules['bias'], size, full) if 'bias' in rules else layer.bias
    return weight, bias


class ElasticConv2d(nn.Conv2d):
    """2-D convolution cut to its first input and output channels.

    Where the input is elastic, the slice of the weight is multiplied by ``in_channels / m`` (POA, eq. 1): as
    many products as the weight has entries, far fewer than the activations.

    Args:
        elastic_in: Whether the input channels are cut.
        elastic_out: Whether the output channels are cut.
        scaled: Whether the scale is applied.
    """

    def __init__(
        self,
        *args,
        elastic_in: bool = True,
        elastic_out: bool = True,
        scaled: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        axes = (0,) * elastic_out + (1,) * elastic_in
        self.slice_rules = {'weight': SliceRule(axes, scaled=scaled and elastic_in)}
        if self.bias is not None and elastic_out:
            self.slice_rules['bias'] = SliceRule((0,))
        self.elastic_in = elastic_in

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        """``(N, m, H, W) -> (N, n, H', W')``.

        Args:
            x: The input; its channels determine the slice if the input is elastic.
            out_channels: The slice if only the output is elastic.
        """
        if self.elastic_in:
            size, full = x.shape[1], self.in_channels
        else:
            size, full = out_channels or self.out_channels, self.out_channels
        weight, bias = sliced_parameters(self, size, full)
        return self._conv_forward(x, weight, bias)


class ElasticLayerNorm(nn.LayerNorm):
    """Layer normalisation over the ``m`` features that the input has."""

    slice_rules = {'weight': SliceRule((0,)), 'bias': SliceRule((0,))}

    def forward(self, x: Tensor) -> Tensor:
        """``(..., m) -> (..., m)``."""
        size = x.shape[-1]
        return F.layer_norm(x, (size,), self.weight[:size], self.bias[:size], self.eps)


class ElasticGroupNorm(nn.GroupNorm):
    """Group normalisation of the ``m`` channels that the input has; the number of groups stays."""

    slice_rules = {'weight': SliceRule((0,)), 'bias': SliceRule((0,))}

    def forward(self, x: Tensor) -> Tensor:
        """``(N, m, H, W) -> (N, m, H, W)``."""
        size = x.shape[1]
        return F.group_norm(x, self.num_groups, self.weight[:size], self.bias[:size], self.eps)


class ElasticLayerScale(nn.Module):
    """Learned factor per channel, started at ``init_value``."""

    slice_rules = {'weight': SliceRule((0,))}

    def __init__(self, embed_dims: int, init_value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((embed_dims,), float(init_value)))

    def forward(self, x: Tensor) -> Tensor:
        """``(..., m) -> (..., m)``."""
        return x * self.weight[: x.shape[-1]]
