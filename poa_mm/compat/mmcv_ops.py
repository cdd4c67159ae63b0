"""mmcv's operators out of torchvision, where mmcv was installed without its compiled ones.

mmdet cannot be imported without the compiled module ``mmcv._ext``. Where Python finds none, :class:`OperatorFinder`
gives one with NMS and RoIAlign; every other operator of it raises an error when it is called. Nothing is imported
before that: this file belongs to every ``import poa_mm``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from torch import Tensor

NAME = 'mmcv._ext'
INSTALL = (
    'MMCV_WITH_OPS=1 pip install --force-reinstall --no-deps --no-build-isolation --no-binary onedl-mmcv onedl-mmcv'
)


class OperatorFinder(MetaPathFinder, Loader):
    """Finds ``mmcv._ext`` after all others have failed to."""

    @classmethod
    def install(cls) -> None:
        """Become the last of Python's finders; a second call does nothing."""
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.append(cls())

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None):
        """Called by Python for a module that nobody else has."""
        return ModuleSpec(fullname, self, origin='poa_mm.compat.mmcv_ops') if fullname == NAME else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Called by Python."""
        return TorchvisionOperators(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Called by Python; there is nothing to run."""


class TorchvisionOperators(ModuleType):
    """Stands for ``mmcv._ext``: same names and arguments, outputs written in place where mmcv's are.

    NMS and RoIAlign work on CPU and GPU, in fp32 for half-precision inputs (as torchvision under autocast).
    """

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)
        return _missing(name)

    @staticmethod
    def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
        """Non-maximum suppression.

        Args:
            bboxes: (N, 4), corners in pixels.
            scores: (N,); equal ones keep their order.
            iou_threshold: A box that overlaps a better one by more is dropped.
            offset: Width and height of a box are those of its corners plus this, 0 or 1.

        Returns:
            Indices of the boxes that stay, best first, (M,) int64.
        """
        _tell_once()
        from torchvision.ops import nms

        if offset:
            bboxes = bboxes + bboxes.new_tensor([0, 0, offset, offset])
        return nms(_at_least_fp32(bboxes), _at_least_fp32(scores), iou_threshold)

    @staticmethod
    def roi_align_forward(
        input: Tensor,
        rois: Tensor,
        output: Tensor,
        argmax_y: Tensor,
        argmax_x: Tensor,
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        """RoIAlign with average pooling.

        Args:
            input: (N, C, H, W).
            rois: (R, 5), index of the image, then corners in pixels of the image.
            output: (R, C, aligned_height, aligned_width), written.
            argmax_y: Of max pooling only.
            argmax_x: Of max pooling only.
            aligned_height: Of the output.
            aligned_width: Of the output.
            spatial_scale: From pixels of the image to those of ``input``.
            sampling_ratio: Samples per output cell and axis; 0 for as many as it has pixels.
            pool_mode: 1 for the average; 0, the maximum, is not supported.
            aligned: Whether pixel centres lie at half numbers.

        Raises:
            NotImplementedError: ``pool_mode`` is the maximum.
        """
        _tell_once()
        _only_average(pool_mode)
        from torchvision.ops import roi_align

        size = (aligned_height, aligned_width)
        pooled = roi_align(
            _at_least_fp32(input), _at_least_fp32(rois), size, spatial_scale, _ratio(sampling_ratio), aligned
        )
        output.copy_(pooled)

    @staticmethod
    def roi_align_backward(
        grad_output: Tensor,
        rois: Tensor,
        argmax_y: Tensor,
        argmax_x: Tensor,
        grad_input: Tensor,
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        """Gradient of :meth:`roi_align_forward`, added to ``grad_input`` (N, C, H, W).

        Args:
            grad_output: (R, C, aligned_height, aligned_width).
            rois: As there, like all other arguments.
            argmax_y: See there.
            argmax_x: See there.
            grad_input: Changed in place.
            aligned_height: See there.
            aligned_width: See there.
            spatial_scale: See there.
            sampling_ratio: See there.
            pool_mode: See there.
            aligned: See there.

        Raises:
            NotImplementedError: ``pool_mode`` is the maximum.
        """
        _only_average(pool_mode)
        import torch
        import torchvision  # noqa: F401, brings the operator

        grad_input += torch.ops.torchvision._roi_align_backward(
            _at_least_fp32(grad_output),
            _at_least_fp32(rois),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            _ratio(sampling_ratio),
            aligned,
        )

    @staticmethod
    def get_compiler_version() -> str:
        """For lists of versions."""
        return 'not compiled'

    @staticmethod
    def get_compiling_cuda_version() -> str:
        """For lists of versions."""
        return 'not compiled'


def _missing(name: str) -> Callable[..., NoReturn]:
    def operator(*args, **kwargs) -> NoReturn:
        raise NotImplementedError(
            f'{name} needs mmcv with its compiled operators; without them there are only NMS and RoIAlign with average '
            f"pooling, torchvision's. To compile them: {INSTALL}"
        )

    operator.__name__ = name
    return operator


def _only_average(pool_mode: int) -> None:
    if pool_mode != 1:
        _missing("RoIAlign with pool_mode='max'")()


def _ratio(sampling_ratio: int) -> int:
    """torchvision says -1, mmcv 0 for as many samples as a cell has pixels; both take anything below 1 for it."""
    return sampling_ratio if sampling_ratio > 0 else -1


def _at_least_fp32(tensor: Tensor) -> Tensor:
    return tensor if tensor.element_size() >= 4 else tensor.float()


@cache
def _tell_once() -> None:
    from mmengine.logging import print_log

    print_log(
        "mmcv has no compiled operators: NMS and RoIAlign are torchvision's",
        logger='current',
        level=logging.INFO,
    )
