from .embedding_head import EmbeddingHead
from .prototype_head import MultiPrototypeHead

__all__ = ['EmbeddingHead', 'MultiPrototypeHead']
