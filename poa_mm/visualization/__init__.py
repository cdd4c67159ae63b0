"""What networks learned, what they were shown, and how the training went, as pictures."""

from .batch_hook import FirstBatchHook

__all__ = ['FirstBatchHook']
