"""What networks learned, what they were shown, and how the training went, as pictures."""

from .batch_hook import FirstBatchHook
from .predictions import ShowPredictionsHook

__all__ = ['FirstBatchHook', 'ShowPredictionsHook']
