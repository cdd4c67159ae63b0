"""SEED for half as long, to a ViT-B; see seed_vitl_to_vits_600.py."""

_base_ = 'seed_vitl_to_vits_600.py'

model = dict(backbone=dict(widths=[768]))
