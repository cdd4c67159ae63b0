"""ViT-B alone, by DINOv2's recipe (POA, tables 1 and 7)."""

_base_ = '_base_/dinov2_vit.py'

model = dict(backbone=dict(widths=[768], depths=[12]))
