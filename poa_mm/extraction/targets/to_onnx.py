"""Networks as ONNX programs, checked with onnxruntime before they are written."""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch

from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.files import write_atomically

from .options import Options
from .program import check_program, output_names, trace_arguments

TOLERANCE = 1e-4


def write(network: ExtractedNetwork, folder: Path, options: Options) -> str:
    """Write ``model.onnx``, from RGB levels to the feature or the maps; returns the lines that run it."""
    import onnxruntime

    module, images, axes = trace_arguments(network, options)
    outputs = output_names(network, options)
    with _quiet():
        program = torch.onnx.export(
            module,
            (images,),
            dynamo=True,
            dynamic_shapes=axes,
            input_names=['images'],
            output_names=outputs,
            external_data=False,
            verbose=False,
        )
    program.model.metadata_props['poa_mm'] = json.dumps(network.meta)
    contents = program.model_proto.SerializeToString()
    path = folder / 'model.onnx'
    session = onnxruntime.InferenceSession(contents, providers=['CPUExecutionProvider'])
    check_program(lambda x: session.run(None, {'images': x.numpy()}), module, network, options, TOLERANCE, str(path))
    write_atomically(path, lambda file: file.write(contents))
    return (
        'import onnxruntime\n\n'
        "session = onnxruntime.InferenceSession('FOLDER/model.onnx')\n"
        f'# images: float32 ({_shape(network, options)}), RGB levels of 0 to 255; the program normalises them\n'
        f"({', '.join(outputs)}{',' * (not options.maps)}) = session.run(None, {{'images': images}})\n"
    )


def _shape(network: ExtractedNetwork, options: Options) -> str:
    return 'N, 3, H, W' if options.any_size else f'N, 3, {network.img_size}, {network.img_size}'


@contextmanager
def _quiet():
    """Without the exporter's remarks on its own registries, on which nobody can act."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)
