"""The small-data recipe for one size alone: the baseline of poa_vit_small.py. Here its largest network.

Another size: --cfg-options model.backbone.widths="[96]" model.backbone.depths="[4]"
"""

_base_ = 'poa_vit_small.py'

model = dict(students=('intact',), intact_weight=1.0)
