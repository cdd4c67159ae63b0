"""Networks of mmpretrain as safetensors: the weights, and all that is known of them as metadata."""

from __future__ import annotations

import json
from pathlib import Path

from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.files import write_atomically

from .options import Options


def write(network: ExtractedNetwork, folder: Path, options: Options) -> str:
    """Write ``model.safetensors``; returns the lines that load it."""
    from safetensors.torch import save

    weights = {name: value.contiguous() for name, value in network.file_weights.items()}
    contents = save(weights, {'format': 'pt', 'poa_mm': json.dumps(network.meta)})
    write_atomically(folder / 'model.safetensors', lambda file: file.write(contents))
    return (
        'import json\n'
        'from mmpretrain.models import ImageClassifier\n'
        'from safetensors.torch import load_file, safe_open\n\n'
        "meta = json.loads(safe_open('FOLDER/model.safetensors', 'pt').metadata()['poa_mm'])\n"
        "network = ImageClassifier(backbone=meta['config'])\n"
        "network.load_state_dict(load_file('FOLDER/model.safetensors'))\n"
    )
