"""Networks as programs of ``torch.export``, without the code of the network; checked before they are written."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import torch

from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.files import write_atomically

from .options import Options
from .program import check_program, output_names, trace_arguments

TOLERANCE = 1e-5


def write(network: ExtractedNetwork, folder: Path, options: Options) -> str:
    """Write ``model.pt2``, from RGB levels to the feature or the maps; returns the lines that run it."""
    module, images, axes = trace_arguments(network, options)
    with torch.no_grad():
        program = torch.export.export(module, (images,), dynamic_shapes=axes)
    path, contents = folder / 'model.pt2', BytesIO()
    torch.export.save(program, contents, extra_files={'poa_mm.json': json.dumps(network.meta)})
    run = torch.export.load(contents).module()

    def outputs(images: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            return list(run(images)) if options.maps else [run(images)]

    check_program(outputs, module, network, options, TOLERANCE, str(path))
    write_atomically(path, lambda file: file.write(contents.getbuffer()))
    return (
        'import torch\n\n'
        "network = torch.export.load('FOLDER/model.pt2').module()\n"
        '# images: float32 (N, 3, H, W), RGB levels of 0 to 255; the program normalises them\n'
        f'{", ".join(output_names(network, options))} = network(images)\n'
    )
