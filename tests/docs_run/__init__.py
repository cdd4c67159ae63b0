"""Runs every command of the README and the pages at small size: ``python -m tests.docs_run``.

In a folder of its own with generated images, in which the recipes for ImageNet are narrower and every training has two
steps. Commands run in one process, in the order of :data:`PAGES`, on the files that earlier ones have written.
"""

import poa_mm  # noqa: F401  gives mmdet, which may be imported first, the operators of mmcv
