"""Swin-S alone, by DINOv2's recipe (POA, figure 7)."""

_base_ = '_base_/dinov2_swin.py'

model = dict(backbone=dict(widths=[96], depths=[18]))
