"""Checkpoints that try to run a command where they are opened.

``PAYLOADS`` maps a name to a function ``(path, contents, marker)`` which writes a file to ``path``. ``contents`` is a
valid checkpoint to hide in, ``marker`` a path that the payload tries to create.
"""

import io
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


class Runs:
    """Calls a function with arguments where it is unpickled."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


def with_pickle(path, contents, pickled, extra=()):
    """Write a file of ``torch.save`` with another pickle in it."""
    whole = io.BytesIO()
    torch.save(contents, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            text = source.read(name)
            target.writestr(name, pickled(text) if name.endswith('data.pkl') else text)
        for name, text in extra:
            target.writestr(name, text)


def shell(marker):
    return f'touch {marker}'


def text(marker):
    return f'__import__("os").system({shell(marker)!r})'


def word(text):
    return b'\x8c' + bytes([len(text)]) + text.encode()


def long_word(text):
    return b'X' + struct.pack('<I', len(text)) + text.encode()


def opcodes(make):
    """Let opcodes make the ``message_hub``, in a pickle of protocol 4."""

    def write(path, contents, marker):
        del contents['message_hub']  # of protocol 2, whose names are others
        hub = word('message_hub') + make(shell(marker)) + b's.'
        with_pickle(path, contents, lambda text: b'\x80\x04' + text[2:-1] + hub)

    return write


def hidden(place, make):
    """Put an object somewhere into the checkpoint."""

    def write(path, contents, marker):
        place(contents, make(marker))
        torch.save(contents, path)

    return write


def at_top(contents, value):
    contents['message_hub'] = value


def in_weights(contents, value):
    contents['state_dict']['teacher.backbone.evil'] = value


def in_meta(contents, value):
    contents['meta']['experiment_name'] = value


def as_key(contents, value):
    contents['meta'][value] = 1


def in_optimizer(contents, value):
    contents['optimizer'] = dict(state={0: value}, param_groups=[])


def in_history(contents, value):
    buffer = HistoryBuffer([1.0], [1])
    buffer._log_history = value
    contents['message_hub'] = dict(log_scalars={'train/loss': buffer}, runtime_info={}, resumed_keys={})


def object_array(marker):
    array = np.empty(1, object)
    array[0] = Runs(os.system, shell(marker))
    return array


def hostile_state(marker):
    """Allowed function, and a state that is built by calling."""
    return Runs(HistoryBuffer, state=dict(_log_history=Runs(os.system, shell(marker))))


def evil_storage(command):
    storage = b'cos\nsystem\n' + long_word(command) + b'\x85R'
    return b'(' + word('storage') + storage + word('0') + word('cpu') + b'K\x01tQ'


def legacy(path, contents, marker):
    contents['message_hub'] = Runs(os.system, shell(marker))
    torch.save(contents, path, _use_new_zipfile_serialization=False)


def tar(path, contents, marker):
    """The format of PyTorch before 0.1.10."""
    with tarfile.open(path, 'w') as archive:
        for name in ('sys_info', 'pickle', 'storages', 'tensors'):
            text = pickle.dumps(Runs(os.system, shell(marker)))
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))


def plain_pickle(path, contents, marker):
    path.write_bytes(pickle.dumps(dict(contents, message_hub=Runs(os.system, shell(marker)))))


def polyglot(path, contents, marker):
    """A legacy file with a valid archive behind it."""
    legacy(path, dict(contents), marker)
    whole = io.BytesIO()
    torch.save(contents, whole)
    path.write_bytes(path.read_bytes() + whole.getvalue())


def parent_names(path, contents, marker):
    with_pickle(path, contents, lambda text: text, [(f'../../../../../../../../{marker}', b'x')])


def compressed(path, contents, marker):
    contents['message_hub'] = Runs(os.system, shell(marker))
    stored = io.BytesIO()
    torch.save(contents, stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name) + b'\0' * 10_000_000 * name.endswith('data.pkl'))


def huge_storage(path, contents, marker):
    """Declares a tensor of 2^40 numbers whose storage has 2."""
    contents['state_dict']['teacher.backbone.evil'] = torch.ones(7)
    size = b'K\x07'
    big = b'\x8a\x06' + (2**40).to_bytes(6, 'little')
    with_pickle(
        path, contents, lambda text: text.replace(size + b'tq', big + b'tq').replace(size + b'\x85', big + b'\x85')
    )


def torchscript(path, contents, marker):
    """A program instead of weights; it is not Python, but nothing here should run it."""

    class Evil(torch.nn.Module):
        def forward(self):
            return torch.ones(1)

    torch.jit.script(Evil()).save(str(path))


def config_text(path, contents, marker):
    """MMEngine's ``resume`` executes this entry."""
    contents['meta']['config'] = f'import os\nos.system({shell(marker)!r})\n'
    torch.save(contents, path)


def registry_type(path, contents, marker):
    """MMEngine's registries import whatever a dotted type names."""
    evil = f"dict(type='subprocess.Popen', args={shell(marker)!r}, shell=True)"
    contents['meta']['cfg'] = f"model = dict(type='POA', backbone={evil}, data_preprocessor={evil})\n"
    torch.save(contents, path)


def line_break(path, contents, marker):
    """Breaks out of a comment of a generated config."""
    contents['meta']['iter'] = f'1\nimport os; os.system({shell(marker)!r})  #'
    torch.save(contents, path)


PAYLOADS = {
    'os.system': hidden(at_top, lambda marker: Runs(os.system, shell(marker))),
    'exec': hidden(at_top, lambda marker: Runs(exec, f'import os; os.system({shell(marker)!r})')),
    'eval among weights': hidden(in_weights, lambda marker: Runs(eval, text(marker))),
    'subprocess in meta': hidden(in_meta, lambda marker: Runs(subprocess.call, ['touch', str(marker)])),
    'key of a dict': hidden(as_key, lambda marker: Runs(os.system, shell(marker))),
    'optimizer': hidden(in_optimizer, lambda marker: Runs(os.system, shell(marker))),
    'inside a history': hidden(in_history, lambda marker: Runs(os.system, shell(marker))),
    'array of objects': hidden(in_weights, object_array),
    'state of an allowed class': hidden(at_top, hostile_state),
    'function of torch': hidden(in_weights, lambda marker: Runs(torch.utils.collect_env.run, shell(marker))),
    'function of numpy': hidden(in_meta, lambda marker: Runs(np.testing._private.utils.runstring, text(marker), {})),
    'GLOBAL and REDUCE': opcodes(lambda command: b'cos\nsystem\n' + long_word(command) + b'\x85R'),
    'STACK_GLOBAL': opcodes(lambda command: word('os') + word('system') + b'\x93' + long_word(command) + b'\x85R'),
    'INST': opcodes(lambda command: b'(' + long_word(command) + b'ios\nsystem\n'),
    'OBJ': opcodes(lambda command: b'(cos\nsystem\n' + long_word(command) + b'o'),
    'nested name': opcodes(
        lambda command: word('torch._utils') + word('_rebuild_tensor_v2.__builtins__.get') + b'\x93' + word('exec')
        + b'\x85R' + long_word(f'import os; os.system({command!r})') + b'\x85R'
    ),
    'getattr': opcodes(
        lambda command: b'cbuiltins\ngetattr\n' + b'cbuiltins\n__import__\n' + word('os') + b'\x85R' + word('system')
        + b'\x86R' + long_word(command) + b'\x85R'
    ),
    'extension code': opcodes(lambda command: b'\x82\xf0' + long_word(command) + b'\x85R'),
    'storage of another type': opcodes(evil_storage),
    'legacy format': legacy,
    'tar format': tar,
    'plain pickle': plain_pickle,
    'two formats in one': polyglot,
    'names that leave the folder': parent_names,
    'compressed': compressed,
    'huge declared size': huge_storage,
    'TorchScript': torchscript,
    'program in meta.config': config_text,
    'type of a registry': registry_type,
    'line break in meta.iter': line_break,
}  # fmt: skip

# Runs where torch.load(weights_only=False) opens it, the extension code once it is registered.
RUN_WHERE_TRUSTED = [
    name
    for name, write in PAYLOADS.items()
    if write not in (parent_names, huge_storage, torchscript, config_text, registry_type, line_break)
]
