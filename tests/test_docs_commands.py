"""Every command in the README and the pages is understood by the real parsers, and its config and options exist."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config

from poa_mm.commands.main import build_parser
from poa_mm.config import find_config, load_config
from poa_mm.config.recipes import is_config
from poa_mm.extraction import build_backbone, config_inputs, export_subnet

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md'))]
# Arguments before those of the command, and how many the script itself takes.
SCRIPTS = {
    'tools/dist_train.sh': lambda config, gpus, *rest: ['train', config, *rest, '--launcher', 'pytorch'],
    'tools/dist_test.sh': lambda config, file, gpus, *rest: ['test', config, file, *rest, '--launcher', 'pytorch'],
    'tools/slurm_train.sh': lambda part, job, config, *rest: ['train', config, *rest, '--launcher', 'slurm'],
}


def commands(page):
    """The lines of a page's shell blocks as lists of words, without comments and variables."""
    for block in re.findall(r'^```(?:bash|shell|sh)\n(.*?)^```', page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.replace('\\\n', ' ').splitlines():
            words = [part for word in shlex.split(line, comments=True) for part in expanded(word)]
            while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
                words.pop(0)
            if words:
                yield words


def expanded(word):
    """A shell's expansion of ``{a,b}``, which quotes keep from options and dicts."""
    if '{' not in word or re.search(r'[=\s]', word):
        return [word]
    start, rest = word.split('{', 1)
    parts, depth = [''], 1
    for end, letter in enumerate(rest):
        depth += {'{': 1, '}': -1}.get(letter, 0)
        if depth == 0:
            return [whole for part in parts for whole in expanded(start + part + rest[end + 1 :])]
        parts = [*parts, ''] if (letter, depth) == (',', 1) else [*parts[:-1], parts[-1] + letter]
    return [word]


def check(words):
    """Parse one command if it is ours."""
    match words:
        case ['poa', *arguments] | ['python', '-m', 'poa_mm', *arguments]:
            check_poa(arguments)
        case [('python' | '.venv/bin/python'), *rest] if rest and rest[0].startswith('tools/'):
            check(rest)
        case ['tools/dist_run.sh', _, script, *arguments]:
            check([script, *arguments])
        case [script, *arguments] if script in SCRIPTS:
            check_poa(SCRIPTS[script](*arguments))
        case [door, *arguments] if door.startswith('tools/'):
            (command,) = re.findall(r"main\(\['(\w+)'", (ROOT / door).read_text())
            check_poa([command, *arguments])
        case ['python', '-m', module, *arguments] if module.startswith('benchmarks.'):
            import_module(module).parse_args(arguments)
        case ['make', *targets]:
            known = re.findall(r'^([a-z]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
            assert not {target for target in targets if '=' not in target} - set(known), words


def check_poa(arguments):
    words = [word.replace('...', 'FILE.pth').replace('FAMILY', 'vit') for word in arguments]
    given = vars(build_parser().parse_args(words))
    files = given.get('files', [])
    assert all(file.isupper() or file.endswith(('.py', '.pth')) for file in files), files
    configs = [
        given.get('config'),
        *(file for file in files if file.endswith('.py')),
        given.get('inputs'),
    ]
    configs.append(given.get('images') if is_config(given.get('images') or '.') else None)
    for config in configs:
        if config and not config.isupper():
            check_config(config, given.get('cfg_options'))


def check_config(config, options):
    path = ROOT / config if (ROOT / config).is_file() else find_config(config)
    if options:
        load_config(str(path), options, None, 'none')


def extract_those_of_studies():
    """The files of sizes outside the space of poa_vit_small, which results.md extracts from runs of studies."""
    cfg = Config.fromfile(ROOT / 'configs' / 'poa_vit_small.py')
    cfg.model.backbone.update(widths=[64, 128], depths=[3, 6])
    backbone = build_backbone(cfg)
    for subnet, toolbox in (('64x3', 'mmpretrain'), ('128x6', 'mmseg')):
        export_subnet(backbone, subnet, f'subnets/{toolbox}', config_inputs(cfg), toolbox)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # parsing --out creates its folder
    if page.name == 'results.md':
        extract_those_of_studies()
    for words in commands(page):
        try:
            check(words)
        except (SystemExit, AssertionError, AttributeError, TypeError, ValueError, OSError) as error:
            if isinstance(error, SystemExit) and not error.code:
                continue  # --help, --version
            pytest.fail(f'{" ".join(words)}: {error} {capsys.readouterr().err}')


def test_commands_are_found():
    """So that a change of the pages' style does not turn the test above off."""
    called = [words[0] for page in PAGES for words in commands(page)]
    assert called.count('poa') > 40 and {'make', 'tools/dist_train.sh', 'tools/slurm_train.sh'} <= set(called)
