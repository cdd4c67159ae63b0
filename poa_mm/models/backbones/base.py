"""What POA, extraction and evaluation know of a backbone, and nothing more."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from poa_mm.elastic import Subnet, SubnetSpace, collect_slice_rules, rename_blocks, slice_state_dict

from .layer_depth import find_layer_depths


class ElasticBackbone(BaseModule):
    """A network that holds many: the contract of every family.

    Attributes:
        space: All sub-networks.
        block_prefixes: For every stage, what stands before a block's index in parameter names.
        pretrain_only: Parameters that the extracted network has no use for.
        image_only: Parameters that only its image feature needs, not the maps of :meth:`dense_config`.
        img_size: Side of the images that it is made for, in pixels; ``None`` where it takes any.
        with_cp: Whether activations are recomputed in the backward pass, block by block.
    """

    space: SubnetSpace
    block_prefixes: tuple[str, ...]
    pretrain_only: tuple[str, ...] = ('mask_token',)
    image_only: tuple[str, ...] = ()
    img_size: int | None = None
    with_cp: bool = False

    @abstractmethod
    def forward(
        self, crops: Sequence[Tensor], masks: Tensor | None = None, subnet: Subnet | str | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Features of crops of several sizes in one pass.

        Args:
            crops: Normalised images, one tensor ``(N_i, 3, H_i, W_i)`` for every size.
            masks: Masked patches of the first tensor, ``(N_0, P)`` bool; ``None`` for none.
            subnet: The sub-network to run; ``None`` for the intact one.

        Returns:
            For every size the image features ``(N_i, D)`` and the patch features ``(N_i, P_i, D)``.

        Raises:
            UserError: If the sub-network is not in the space or an image size does not fit.
        """

    @abstractmethod
    def feature_dims(self, subnet: Subnet | str | None = None) -> int:
        """Size ``D`` of the image feature."""

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The id of a parameter's layer and the number of layers, for layer-wise learning rates.

        Ids run from 0 (input) to ``num_layers - 1`` (what follows the blocks), as in mmpretrain; see
        :class:`LayerDepths`.
        """
        depths = find_layer_depths(name for name, _ in self.named_parameters())
        assert depths is not None, type(self)
        return depths(param_name, prefix)

    @abstractmethod
    def static_config(self, subnet: Subnet | str | None = None) -> dict:
        """Config of the ordinary network that a sub-network becomes when it is extracted."""

    @classmethod
    @abstractmethod
    def elastic_config(cls, static: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the backbone whose only sub-network is an ordinary network: :meth:`static_config` undone.

        It has the same parameters under the same names and computes the same. Mask cells, which an ordinary network
        does not have, are the positions of the last map.

        Args:
            static: What :meth:`static_config` gives.

        Raises:
            KeyError: If something is missing.
        """

    @abstractmethod
    def dense_config(self, subnet: Subnet | str | None, toolbox: str) -> dict:
        """Config of that network in a detector or a segmentor, where it returns maps ``(N, C, H, W)``.

        Args:
            subnet: The sub-network; ``None`` for the intact one.
            toolbox: ``'mmdet'`` or ``'mmseg'``, whose own class is taken where it has a fitting one.

        Raises:
            UserError: If the sub-network is not in the space or gives too few maps.
        """

    @abstractmethod
    def map_channels(self, subnet: Subnet | str | None = None) -> tuple[int, ...]:
        """Channels of the maps that the network of :meth:`dense_config` returns, first map first."""

    def image_features(self, images: Tensor, subnet: Subnet | str | None = None) -> Tensor:
        """Image features ``(N, D)`` of normalised images ``(N, 3, H, W)``."""
        return self([images], subnet=subnet)[0][0]

    def patch_features(self, images: Tensor, subnet: Subnet | str | None = None, masks: Tensor | None = None) -> Tensor:
        """Patch features ``(N, P, D)`` of normalised images ``(N, 3, H, W)``, row by row."""
        return self([images], masks, subnet)[0][1]

    @abstractmethod
    def level_features(self, images: Tensor, subnet: Subnet | str | None = None) -> tuple[list[Tensor], Tensor | None]:
        """Image features from inside the network, for linear probing.

        Args:
            images: Normalised images ``(N, 3, H, W)``.
            subnet: The sub-network to run; ``None`` for the intact one.

        Returns:
            Image features ``(N, D_i)`` at four even points (ViT) or after every stage, the last being the image
            feature of :meth:`forward`; and the mean of the patch features ``(N, D)``, or ``None`` where the image
            feature is just that.
        """

    def run_block(self, block: nn.Module, x: Tensor, *args) -> Tensor:
        """``block(x, *args)``, its activations kept or recomputed as :attr:`with_cp` says."""
        if self.with_cp and self.training and x.requires_grad:
            return checkpoint(block, x, *args, use_reentrant=False)
        return block(x, *args)

    def extract(self, subnet: Subnet | str | None = None) -> dict[str, Tensor]:
        """Weights of a sub-network as those of the network that :meth:`static_config` describes.

        It computes what the sub-network computes inside this one, to rounding (POA, sec. 3.3).
        """
        weights = {k: v for k, v in self.state_dict().items() if k not in self.pretrain_only}
        return slice_state_dict(
            weights, collect_slice_rules(self), self.space, self.resolve(subnet), self.block_prefixes
        )

    def extracted_scales(self, subnet: Subnet | str | None = None) -> dict[str, float]:
        """The factor that is folded into each parameter of :meth:`extract`: ``full / size`` or 1 (POA, eq. 1)."""
        subnet, rules = self.resolve(subnet), collect_slice_rules(self)
        factor = self.space.intact.width / subnet.width
        names = [name for name, _ in self.named_parameters() if name not in self.pretrain_only]
        renamed = rename_blocks(names, self.space, subnet, self.block_prefixes)
        return {new: factor if name in rules and rules[name].scaled else 1.0 for name, new in renamed.items()}

    def resolve(self, subnet: Subnet | str | None) -> Subnet:
        """The member of the space that an argument means; ``None`` is the intact network."""
        return self.space.intact if subnet is None else self.space.parse(subnet)
