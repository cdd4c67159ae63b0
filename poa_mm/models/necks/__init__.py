from .vit_pyramid import ViTPyramid

__all__ = ['ViTPyramid']
