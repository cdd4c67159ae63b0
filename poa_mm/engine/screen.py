"""What of a run's log appears on the screen; the log file holds all of it."""

from __future__ import annotations

import logging
import sys

from mmengine.logging import MMLogger
from tqdm import tqdm

# Between a message and who wrote it.
LOGGING = ('logging', 'mmengine.logging', __name__)
SHOWN_OF_MMENGINE = ('mmengine.hooks.logger_hook', 'mmengine.evaluator')
PROGRESS = ('after_train_iter', 'after_val_iter')


class ScreenFilter(logging.Filter):
    """Keeps MMEngine's descriptions of itself from the screen: versions, the whole config, the order of its hooks.

    Warnings pass, but for MMEngine's that its own functions are deprecated. What poa_mm and the toolboxes log passes
    too, and the lines of ``LoggerHook``.

    Attributes:
        bar: A progress bar that takes the place of ``LoggerHook``'s lines for iterations, or ``None``.
    """

    bar: tqdm | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        module, function = _author()
        shown = not module.startswith('mmengine.')
        shown |= record.levelno > logging.INFO and 'deprecated' not in record.getMessage()
        if module.startswith(SHOWN_OF_MMENGINE):
            shown |= self.bar is None or function not in PROGRESS
        if shown and self.bar is not None:
            self.bar.clear()  # drawn again at its next update
        return shown


def show_bar(logger: MMLogger, bar: tqdm | None) -> None:
    """Let a bar take the place of the lines for iterations, or with ``None`` the lines again that of the bar."""
    for handler in screens(logger):
        for each in handler.filters:
            if isinstance(each, ScreenFilter):
                each.bar = bar


def screens(logger: MMLogger) -> list[logging.Handler]:
    """The handlers of a logger that write to a screen."""
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]


def _author() -> tuple[str, str]:
    """Module and function that wrote the current message; records name ``print_log`` where that was used."""
    frame = sys._getframe(1)
    while frame.f_globals['__name__'].startswith(LOGGING):
        frame = frame.f_back
    return frame.f_globals['__name__'], frame.f_code.co_name
