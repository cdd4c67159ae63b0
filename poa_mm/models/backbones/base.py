"""The contract of elastic backbones: all that POA, extraction and evaluation use of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from poa_mm.elastic import Subnet, SubnetSpace, collect_slice_rules, rename_blocks, slice_state_dict
from poa_mm.elastic.reordering import Units
from poa_mm.elastic.space import Depth
from poa_mm.errors import UserError

from .block_units import Branch
from .drop_path import Shapes, draw_kept
from .layer_depth import LayerDepths, LayerNames
from .shared_blocks import SharedBlocks

FAMILIES: dict[str, type[ElasticBackbone]] = {}
"""The families by the class names of their ordinary networks; see ``families.py`` for look-ups."""


class ElasticBackbone(BaseModule):
    """A network that holds many sub-networks: the contract of every family.

    A subclass that states ``static_types`` is a family and registers itself. Everything that depends on the family
    is stated in its class; ``docs/new_family.md`` shows how to write one.

    Attributes of a family:
        static_types: Class names of its ordinary networks in the toolboxes. The first one names the family in
            result files.
        layer_names: What its parameter names look like, for layer-wise learning rates.
        names: Width and depth of well-known members.
        pretrain_only: Parameters that the extracted network does not have.
        image_only: Parameters that only the image feature needs, not the maps of :meth:`dense_config`.
        loader_prefixes: For classes of toolboxes whose own loader strips a prefix from the names in a file, by type
            (``'mmdet.SwinTransformer'``): the prefix, and whether names without it are skipped.
        paper_names: What the paper calls the members in ``names``.
        paper_table: Name of the paper's table of k-NN accuracies in ``reference/paper_tables.json``.

    Attributes of a backbone:
        space: All sub-networks.
        block_prefixes: For every stage, what precedes a block's index in parameter names.
        img_size: Side of the images that it was made for, in pixels; ``None`` if images of any size fit.
        with_cp: Whether activations are recomputed in the backward pass, block by block.
        bf16_residual: Whether autocast keeps the tokens between blocks in bfloat16 too.
    """

    static_types: tuple[str, ...]
    layer_names: LayerNames
    names: Mapping[str, tuple[int, Depth]] = {}
    pretrain_only: tuple[str, ...] = ('mask_token',)
    image_only: tuple[str, ...] = ()
    loader_prefixes: Mapping[str, tuple[str, bool]] = {}
    paper_names: Mapping[str, str] = {}
    paper_table: str | None = None

    space: SubnetSpace
    block_prefixes: tuple[str, ...]
    img_size: int | None = None
    with_cp: bool = False
    bf16_residual: bool = False
    _shared: SharedBlocks | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'static_types' in cls.__dict__:
            cls.family = cls.static_types[0]
            FAMILIES.update(dict.fromkeys(cls.static_types, cls))

    @abstractmethod
    def forward(
        self, crops: Sequence[Tensor], masks: Tensor | None = None, subnet: Subnet | str | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Features of crops of several sizes in one pass.

        Args:
            crops: Normalised images, one tensor ``(N_i, 3, H_i, W_i)`` for every size.
            masks: Masked patches of the first tensor, ``(N_0, P)`` bool; ``None`` if nothing is masked.
            subnet: The sub-network to run; ``None`` for the intact one.

        Returns:
            For every size the image features ``(N_i, D)`` and the patch features ``(N_i, P_i, D)``.

        Raises:
            UserError: If the sub-network is not in the space or an image size does not fit.
        """

    def feature_dims(self, subnet: Subnet | str | None = None) -> int:
        """Size ``D`` of the image feature: the channels of the last map."""
        return self.map_channels(subnet)[-1]

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The id of a parameter's layer and the number of layers, for layer-wise learning rates.

        Ids run from 0 (input) to ``num_layers - 1`` (what follows the blocks), as in mmpretrain; see
        :class:`LayerDepths`.
        """
        return LayerDepths(self.layer_names, (name for name, _ in self.named_parameters()))(param_name, prefix)

    @abstractmethod
    def static_config(self, subnet: Subnet | str | None = None) -> dict:
        """Config of the ordinary network that a sub-network becomes when it is extracted."""

    @classmethod
    @abstractmethod
    def static_size(cls, static: Mapping[str, Any]) -> tuple[int, Depth]:
        """Width and depth of an ordinary network, by its config.

        Args:
            static: Config of a network of :attr:`static_types`, in any toolbox, also one of another origin.

        Raises:
            KeyError: If an argument is missing.
            TypeError: If the architecture is given by name.
        """

    @classmethod
    @abstractmethod
    def elastic_config(cls, static: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the backbone whose only sub-network is an ordinary network: inverts :meth:`static_config`.

        It has the same parameters under the same names and computes the same. Its mask cells, which an ordinary
        network does not have, are the positions of the last map.

        Args:
            static: What :meth:`static_config` returns.

        Raises:
            KeyError: If an argument is missing.
        """

    @abstractmethod
    def dense_config(self, subnet: Subnet | str | None, toolbox: str) -> dict:
        """Config of that network in a detector or a segmentor, where it returns maps ``(N, C, H, W)``.

        Args:
            subnet: The sub-network; ``None`` for the intact one.
            toolbox: ``'mmdet'`` or ``'mmseg'``; its own class is used if it has a suitable one.

        Raises:
            UserError: If the sub-network is not in the space or has too few maps.
        """

    @abstractmethod
    def map_channels(self, subnet: Subnet | str | None = None) -> tuple[int, ...]:
        """Channels of the maps that the network of :meth:`dense_config` returns, first map first."""

    @classmethod
    def loaded_as(cls, static_type: str, name: str) -> str | None:
        """The weight that a class's own loader reads a name of a file into; ``None`` if it skips the name."""
        prefix, required = cls.loader_prefixes.get(static_type, ('', False))
        return None if required and not name.startswith(prefix) else name.removeprefix(prefix)

    @classmethod
    def saved_as(cls, static_type: str, name: str) -> str:
        """The name of a weight in a file for a class; :meth:`loaded_as` undoes it."""
        prefix, required = cls.loader_prefixes.get(static_type, ('', False))
        return prefix + name if required else name

    @staticmethod
    def is_resized(network: nn.Module, name: str, value: Tensor) -> bool:
        """Whether an ordinary network resizes this weight of another shape while it loads a file."""
        return False

    @classmethod
    def paper_name(cls, width: int, depth: Depth) -> str | None:
        """What the paper calls the network of this size; ``None`` if it does not name it."""
        return next((cls.paper_names.get(name) for name, size in cls.names.items() if size == (width, depth)), None)

    @classmethod
    def paper_cell(cls, width: int, depth: Depth) -> tuple[str, str | int] | None:
        """Row and column of the network of this size in :attr:`paper_table`; ``None`` if it is not listed."""
        return None

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
            Image features ``(N, D_i)`` at four evenly spaced points (ViT) or after every stage, the last of them the
            image feature of :meth:`forward`; and the mean of the patch features ``(N, D)``, or ``None`` if the image
            feature already is that mean.
        """

    def in_turn(self, subnets: Iterable[Subnet]) -> Iterator[Subnet]:
        """Sub-networks that run on the same images, each once in the body of the loop, without gradients.

        Blocks that several of one width begin with run once, with the same results. The order is not that of the
        argument.

        Args:
            subnets: Members of the space, none twice.

        Raises:
            RuntimeError: In training mode, or inside another such loop.
        """
        if self.training or self._shared is not None:
            raise RuntimeError('sub-networks run in turn in evaluation mode, in one loop at a time')
        self._shared = SharedBlocks(self.space, subnets)
        try:
            yield from self._shared
        finally:
            self._shared = None

    def run_block(self, block: nn.Module, x: Tensor, *args) -> Tensor:
        """``block(x, *args)``, with activations recomputed in the backward pass if :attr:`with_cp` is set.

        Inside :meth:`in_turn` it may have run already.
        """
        if self._shared is not None:
            return self._shared.run(block, x, *args)
        if self.with_cp and self.training and x.requires_grad:
            return checkpoint(block, x, *args, use_reentrant=False)
        return block(x, *args)

    def as_residual(self, x: Tensor) -> Tensor:
        """The tokens that enter the first block, in the precision in which blocks add to them."""
        return x.bfloat16() if self.bf16_residual and torch.is_autocast_enabled(x.device.type) else x

    def draw_kept(self, shapes: Shapes, rates: Sequence[float], device: torch.device) -> list[tuple]:
        """What the two residual branches of every block keep: all in evaluation, else see :func:`draw_kept`.

        Args:
            shapes: The ``(N, L)`` of every crop size.
            rates: Share of the samples that skip the branches of each block.
            device: Of the tokens.
        """
        drawn = draw_kept(shapes, [rate * self.training for rate in rates for _ in range(2)], device)
        return list(zip(drawn[::2], drawn[1::2]))

    def extract(self, subnet: Subnet | str | None = None) -> dict[str, Tensor]:
        """Weights of the network that :meth:`static_config` describes.

        Up to rounding, it computes what the sub-network computes inside this one (POA, sec. 3.3).
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

    def units(self) -> list[Units]:
        """What can be reordered without changing what the intact network computes.

        The units named ``'channels'`` are those of the image feature.

        Raises:
            UserError: If the family cannot be reordered.
        """
        raise UserError(f'a {self.family} cannot be reordered: its normalisations have groups of fixed channels')

    def branches(self) -> dict[str, list[Branch]]:
        """The residual branches of every block, by the block's prefix."""
        return {}

    def resolve(self, subnet: Subnet | str | None) -> Subnet:
        """The member of the space that an argument refers to; ``None`` is the intact network."""
        return self.space.intact if subnet is None else self.space.parse(subnet)
