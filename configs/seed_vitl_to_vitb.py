"""SEED: a pre-trained ViT-L teaches a ViT-B; see seed_vitl_to_vits.py."""

_base_ = 'seed_vitl_to_vits.py'

model = dict(backbone=dict(widths=[768]))
