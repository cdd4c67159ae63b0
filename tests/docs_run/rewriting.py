"""From the words of a page to a call in this process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from glob import glob
from importlib import import_module
from pathlib import Path

from tests.test_docs_commands import PAGES, ROOT, SCRIPTS, commands

# Pages whose files others need come first.
FIRST = ('own_photographs.md', 'start.md', 'one_gpu_to_32.md', 'reproduce.md', 'README.md', 'results.md')
# Replacements for the reader's own files and names, by page where the page matters.
PLACEHOLDERS = {
    'SOURCE': 'work_dirs/poa_vit_small/iter_1000.pth',
    'CONFIG': 'configs/poa_vit_small.py',
    'FILE.pth': 'imported.pth',
    'load_from=FILE.pth': 'load_from=imported.pth',
    'CHECKPOINT': 'work_dirs/seed_vitl_to_vits/last.pth',
    'FOLDER': 'photos/all',
    'SIZES': '96x4',
    '8ms': '8000ms',  # on a busy machine
    '512x16': '64x6',
    'data_root=/data/coco': 'data_root=data/coco',
    'model.backbone.widths=(192,384,64)': 'model.backbone.widths=(24,48,8)',
    'model.backbone.depths=(6,12)': 'model.backbone.depths=(2,4)',
    'model.head.num_prototypes=(2048,4096,8192,16384)': 'model.head.num_prototypes=(16,16,32,32)',
}
NOT_RUN = {
    'make': 'creates environments, or starts what is run here already; CI runs env, lint, test and docs',
    'pip': 'changes the environment',
    'source': 'changes the shell',
    'export': 'changes the shell',
    'pytest': 'part of the test suite',
    'mim': 'needs openmim, which is not part of the tested set',
    'trtexec': 'needs an NVIDIA GPU and TensorRT',
}
# What no config says.
SHORTER = {
    'linear': ['--iters', '2', '--total-batch', '4', '--workers', '0'],
    'knn': ['--workers', '0'],
    'cluster': ['--workers', '0', '--clusters', '3', '--restarts', '1'],
    'robustness': ['--workers', '0', '--ratios', '0', '0.5', '--grids', '1', '2'],
    'backgrounds': ['--workers', '0'],
    'visualize': ['--number', '2', '--gallery', '4'],
    'plan': ['--gpus', '1'],  # two images do not divide among several
}
BENCHMARKS = {
    'step': ['--steps', '1', '--warmup', '0'],
    'parts': ['--rounds', '1', '--only', 'LayerScale'],
    'gpu': ['--tiny', '--steps', '1', '--limit', '2'],
    'data': ['--images', '2', '--rounds', '1'],
}


def page_commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every command, in the order in which they can be run."""
    pages = {path.name: path for path in PAGES}
    for name in (*FIRST, *(name for name in pages if name not in FIRST)):
        for words in commands(pages[name]):
            yield name, words


def reason_not_to_run(words: list[str]) -> str | None:
    """Why a command is not run here, or None."""
    if '--against' in words:
        return 'needs the history of the repository; tests/test_benchmarks/test_revisions.py'
    if words[:2] == ['poa', 'study'] and not study_trainings(words[1:]):
        return 'many trainings of full length; tests/test_study runs a tiny study'
    if words[:2] == ['poa', 'compare'] and words[-1].startswith('docs/results/trajectories/') and '--make' not in words:
        return 'compares a run of full length; tests/test_reporting compares such runs'
    if 'tests.docs_run' in words:
        return 'this script'
    if 'configs/continue_vitl.py' in words:
        return "needs DINOv2's ViT-L/14"
    if 'wandb' in words:
        return 'needs wandb, which is not part of the tested set'
    return NOT_RUN.get(words[0])


def call_of(words: list[str]) -> Callable[[], object]:
    """The call that runs a command in this process; of several processes, the first alone.

    Raises:
        ValueError: The command is unknown.
    """
    words = [small_resnet(PLACEHOLDERS.get(word, word).replace('FAMILY', 'vit')) for word in words]
    match words:
        case ['poa', 'study', *_]:
            return lambda: [poa(training) for training in study_trainings(words[1:])]
        case ['poa', *arguments] | ['python', '-m', 'poa_mm', *arguments]:
            return lambda: poa(arguments)
        case ['tools/dist_run.sh', _, script, *arguments]:
            return call_of([script, *arguments])
        case [script, *arguments] if script in SCRIPTS:
            return lambda: poa(SCRIPTS[script](*arguments))
        case [door, *arguments] if door.startswith('tools/'):
            (command,) = re.findall(r"main\(\['(\w+)'", (ROOT / door).read_text())
            return lambda: poa([command, *arguments])
        case ['python', '-m', module, *arguments] if module.startswith('benchmarks.'):
            return lambda: benchmark(module, [*arguments, *BENCHMARKS.get(module.partition('.')[2], [])])
    raise ValueError(f'unknown command {" ".join(words)}')


def study_trainings(arguments: list[str]) -> list[list[str]]:
    """The trainings of a study whose folders another command of the pages reads, as arguments of ``poa``."""
    from poa_mm.commands.main import build_parser
    from poa_mm.study.definition import Study
    from poa_mm.study.queue import Queue

    args = build_parser().parse_args(arguments)
    if args.out is None:
        return []
    study = Study.read(args.study)
    values = {'train': args.train, 'val': args.val, 'images': args.train, **args.set}
    queue = Queue(study, args.out, args.out, values, args.cfg_options)
    read = {word for _, words in page_commands() if words[:2] != ['poa', 'study'] for word in words}
    read |= {str(Path(word).parent) for word in read}
    runs = [(run, seed) for run in study.chosen(args.only) for seed in args.seeds or study.seeds]
    return [queue.commands(run, seed)[0][1:] for run, seed in runs if str(queue.folder(run, seed)) in read]


def small_resnet(word: str) -> str:
    """A member of the ResNets' shrunk space in place of one of the whole."""
    return re.sub(r'(64|96|128)x3-\d+-\d+-3', lambda size: f'{int(size[1]) // 4}x1-1-1-1', word)


def poa(words: list[str]) -> None:
    """Run a command of ``poa`` without a launcher."""
    from poa_mm.commands import main
    from poa_mm.engine.precision import emulates_bfloat16

    forget_runs()
    if emulates_bfloat16():  # the commands refuse it there
        words = [word for word in words if word != '--amp']
    if '--launcher' in words:
        at = words.index('--launcher')
        words = words[:at] + words[at + 2 :]
    words = [file for word in words for file in (sorted(glob(word)) if '*.pth' in word else [word])]
    main([*words, *SHORTER.get(words[0], [])])
    if words[0] == 'train':
        given = words[words.index('--work-dir') + 1] if '--work-dir' in words else f'work_dirs/{Path(words[1]).stem}'
        link_checkpoints(Path(given))


def forget_runs() -> None:
    """Let go of what MMEngine keeps for the rest of a process: a command is one process as a rule."""
    from mmengine.utils import ManagerMixin

    kinds = [ManagerMixin]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if '_instance_dict' in vars(kind):
            kind._instance_dict.clear()


def link_checkpoints(work_dir: Path) -> None:
    """Give the last checkpoint the names under which the pages know it: those of a run of full length."""
    last = Path((work_dir / 'last_checkpoint').read_text().strip())
    file = re.compile(rf'(?:.*/)?{re.escape(work_dir.name)}/((?:iter|epoch)_\d+\.pth)')
    names = {'last.pth', *(found[1] for _, words in page_commands() for found in map(file.fullmatch, words) if found)}
    names |= {'iter_1000.pth', 'iter_300.pth'} if 'iter' in last.name else set()
    if work_dir.name == 'poa_vit_small':
        for seed in range(3):
            twin = work_dir.with_name(f'seed{seed}')
            twin.is_symlink() or twin.symlink_to(work_dir.name)
    for name in names - {last.name}:
        (work_dir / name).unlink(missing_ok=True)
        (work_dir / name).hardlink_to(last)


def benchmark(module: str, words: list[str]) -> None:
    """Run a benchmark, shortened.

    Raises:
        RuntimeError: It failed.
    """
    program = import_module(module)
    args = program.parse_args(words)
    args.arguments = words
    if program.measure(args):
        raise RuntimeError(f'{module} failed')
