"""Mixed precision where it does not pay."""

import torch

from poa_mm.errors import UserError


def emulates_bfloat16() -> bool:
    """Whether training runs on a CPU whose bfloat16 products take tens of times as long as those in float32.

    oneDNN has kernels of such products for processors with AVX-512 or instructions for bfloat16; for others PyTorch
    computes them in plain loops.
    """
    if torch.cuda.is_available():
        return False
    # Builds without oneDNN do not have the operator.
    return not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def check_amp(instead: str) -> None:
    """Refuse mixed precision on a CPU that emulates it.

    Args:
        instead: What the user can do.

    Raises:
        UserError: On a CPU that emulates bfloat16, without a GPU.
    """
    if emulates_bfloat16():
        raise UserError(
            f'this CPU has no fast bfloat16 products, so mixed precision takes far longer than float32: {instead}'
        )
