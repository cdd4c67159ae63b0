"""Runs the commands and prints which of them ran."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs_run import sandbox, shrinking


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m tests.docs_run', description=__doc__)
    parser.add_argument('pages', nargs='*', metavar='PAGE.md', help='of these pages only (default: all)')
    parser.add_argument('--folder', type=Path, help='where to run (default: a temporary folder)')
    parser.add_argument('--match', default='', metavar='PATTERN', help='a regular expression')
    return parser.parse_args()


def main() -> int:
    """Returns the exit status: whether a command failed."""
    args = parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        failed = run_pages(folder, args.pages, args.match)
    return bool(failed)


def run_pages(folder: Path, pages: list[str], match: str = '') -> list[str]:
    """Run the commands of some pages, or of all, in a folder; returns those that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(CUDA_VISIBLE_DEVICES='-1', MPLBACKEND='Agg', WANDB_MODE='offline')
    if not (folder / 'configs').exists():
        sandbox.build(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        shrinking.install()
        sandbox.rename_sizes()
        from tests.docs_run.rewriting import call_of, page_commands, reason_not_to_run

        done, failed, left_out = {}, [], {}
        for page, words in page_commands():
            text = ' '.join(words)
            if (pages and page not in pages) or not re.search(match, text):
                continue
            if reason := reason_not_to_run(words):
                left_out.setdefault(reason, []).append(text)
            elif text not in done:  # the same command of another page
                seconds, error = run(call_of(words), Path('logs', f'{len(done):03d}.txt'))
                done[text] = 1
                failed += [text] if error else []
                print(f'{"FAILED" if error else "ran":<6} {seconds:6.1f} s  {page}: {text}', flush=True)
                print(f'       {error}\n' * bool(error), end='', flush=True)
            else:
                done[text] += 1
    finally:
        os.chdir(before)
    total = sum(done.values()) + sum(map(len, left_out.values()))
    ran = sum(number for text, number in done.items() if text not in failed)
    print(f'\n{ran} of {total} commands ran ({len(done)} different ones), {len(failed)} failed')
    for reason, texts in left_out.items():
        print(f'  {len(texts)} not run, {reason}: {", ".join(sorted({text.split()[0] for text in texts}))}')
    return failed


def run(call: Callable[[], object], log: Path) -> tuple[float, str]:
    """Seconds of a call, and its error or an empty text; all that it prints goes into a file."""
    start, error = time.perf_counter(), ''
    with output_into(log):
        try:
            call()
        except SystemExit as stop:
            error = f'exit status {stop.code}' if stop.code else ''
        except Exception as raised:
            traceback.print_exc()
            error = f'{type(raised).__name__}: {raised}'
    if error:
        error += ' | ' + ' '.join(log.read_text(errors='replace').strip().splitlines()[-1:])
    return time.perf_counter() - start, error[:600]


@contextmanager
def output_into(path: Path) -> Iterator[None]:
    """Send standard output and errors, of libraries too, into a file."""
    path.parent.mkdir(exist_ok=True)
    sys.stdout.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(path, 'wb') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, duplicate in zip((1, 2), kept):
                os.dup2(duplicate, number)
                os.close(duplicate)


if __name__ == '__main__':
    sys.exit(main())
