"""From a batch of uint8 crops on the host to normalised crops on the device."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor

from poa_mm.errors import UserError
from poa_mm.registry import MODELS

# ImageNet's, R, G, B, in levels of 0 to 255.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@MODELS.register_module()
class MultiCropPreprocessor(BaseDataPreprocessor):
    """Moves a batch to the device and normalises its crops there, in fp32.

    Crops travel as uint8, a quarter of the bytes. Masks and all else are passed on as they are.

    Args:
        mean: Mean of each channel, R, G, B, in levels of 0 to 255.
        std: Standard deviation of each channel, in the same units.
        non_blocking: Do not wait for the copy to the device (of use with pinned memory).

    Raises:
        UserError: If there are not three of each or a deviation is not positive.
    """

    def __init__(
        self,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise UserError(f'mean {tuple(mean)} and std {tuple(std)} must be three values each, std above 0.')
        # Not persistent: a checkpoint holds weights, a config holds these.
        self.register_buffer('mean', torch.tensor(mean).float().view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).float().view(3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise the crops of ``data['inputs']``, (N, 3, S, S) uint8, to float32.

        Args:
            data: What :func:`multi_crop_collate` gives.
            training: Not used.

        Returns:
            The same dict, on the device.
        """
        data = self.cast_data(data)
        inputs = dict(data['inputs'])
        for name in ('global_crops', 'local_crops'):
            inputs[name] = (inputs[name] - self.mean).div_(self.std)
        return {**data, 'inputs': inputs}
