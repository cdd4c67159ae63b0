"""Layer ids for layer-wise learning rates, read from parameter names.

mmdet's and mmseg's backbones have no layer ids, and mmpretrain's ResNet has other ones than POA's program. The
parameter names are the same in all toolboxes, so a network has the same ids in each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class LayerNames(NamedTuple):
    """What the parameter names of a family look like.

    Args:
        marks: Parts of names by which the family is recognised: each occurs in some name, and all of them in no
            other family.
        block: Pattern of a block's parameters. Its groups are the stage, empty if there is only one, and the number
            of the block in it.
        before: Pattern of what comes before the first block. Everything else outside the blocks follows the last one.
        has_top: Whether what follows the blocks has an id of its own, one above the last block's.
        downsample: Pattern of what leads from one stage to the next; its group is a number that counts the stages.
        downsample_offset: The stage that it leads to, minus that number.
    """

    marks: tuple[str, ...]
    block: str
    before: str
    has_top: bool = True
    downsample: str | None = None
    downsample_offset: int = 0


class LayerDepths:
    """Ids of the layers of a network (POA's program).

    Tokens, positions, patch embedding and stem are 0; block ``k``, counted over all stages, is ``k + 1``. The program
    numbers the rest in two ways. In pre-training a layer between two stages belongs to the first block after it, and a
    family may have nothing above its last block (:attr:`LayerNames.has_top`). In fine-tuning such a layer belongs to
    the last block before it, and what follows the blocks always has an id of its own.

    Args:
        layer_names: Of the network's family.
        names: Of all parameters of the network.
        fine_tuning: Whether to number the layers as in fine-tuning.
    """

    def __init__(self, layer_names: LayerNames, names: Iterable[str], fine_tuning: bool = False) -> None:
        self.layer_names, self.fine_tuning = layer_names, fine_tuning
        matches = filter(None, (re.match(layer_names.block, name) for name in names))
        blocks = sorted({(int(match[1] or 0), int(match[2])) for match in matches})
        self.ids = {block: i + 1 for i, block in enumerate(blocks)}
        self.num_layers = len(blocks) + 1 + (layer_names.has_top or fine_tuning)

    def __call__(self, name: str, prefix: str = '') -> tuple[int, int]:
        """The id of a parameter and the number of layers, as mmpretrain's ``get_layer_depth`` returns them.

        A name without ``prefix`` is outside the backbone and has the highest id.
        """
        top = self.num_layers - 1
        if not name.startswith(prefix):
            return top, self.num_layers
        name = name.removeprefix(prefix)
        if match := re.match(self.layer_names.block, name):
            return self.ids[int(match[1] or 0), int(match[2])], self.num_layers
        if self.layer_names.downsample and (match := re.match(self.layer_names.downsample, name)):
            return self._between(int(match[1]) + self.layer_names.downsample_offset), self.num_layers
        return (0 if re.match(self.layer_names.before, name) else top), self.num_layers

    def _between(self, stage: int) -> int:
        """The id of what leads to a stage."""
        if self.fine_tuning:
            return max(i for (earlier, _), i in self.ids.items() if earlier < stage)
        return self.ids[stage, 0]
