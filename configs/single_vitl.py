"""One size alone, without the elastic student: the baseline of every comparison. Here ViT-L/16.

Another size: --cfg-options model.backbone.widths="[384]" model.backbone.depths="[12]"  (ViT-S/16)
"""

_base_ = 'poa_vitl.py'

model = dict(students=('intact',), intact_weight=1.0)
