"""Swin-T alone, by DINOv2's recipe (POA, tables 1 and 7)."""

_base_ = '_base_/dinov2_swin.py'

model = dict(backbone=dict(widths=[96], depths=[6]))
