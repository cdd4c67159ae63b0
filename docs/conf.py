"""The documentation site: ``make docs``, then open build/docs/index.html."""

import poa_mm

project = 'poa_mm'
copyright = 'the poa_mm developers'
version = release = poa_mm.__version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode']
exclude_patterns = ['results']
html_theme = 'furo'
html_title = f'poa_mm {release}'

# The outputs in the notebook are shown: docs/execute_notebook.py makes them.
nb_execution_mode = 'off'

# Anchors of headings, as GitHub makes them: extraction.md#downstream-configs.
myst_heading_anchors = 3

autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
# PyTorch's and MMEngine's own methods have no documentation here.
autodoc_inherit_docstrings = False
