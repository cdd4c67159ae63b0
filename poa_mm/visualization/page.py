"""One HTML page that holds its pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from poa_mm.files import write_text

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; background: white; border-radius: 6px; }
figure { margin: 1rem 0 2rem; } figcaption { opacity: .75; }
"""


class Section(NamedTuple):
    """A picture on the page, under a heading, with a sentence that says how to read it."""

    heading: str
    text: str
    picture: Path


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write a page that needs no other file.

    Args:
        path: The HTML file.
        title: Above all.
        sections: In order; a heading that repeats is written once.
    """
    parts, last = [], None
    for heading, text, picture in sections:
        if heading != last:
            parts.append(f'<h2>{html.escape(heading)}</h2>')
        data = base64.b64encode(picture.read_bytes()).decode()
        caption = html.escape(text)
        image = f'<img alt="{html.escape(heading)}" src="data:image/png;base64,{data}">'
        parts.append(f'<figure>{image}<figcaption>{caption}</figcaption></figure>')
        last = heading
    title = html.escape(title)
    head = f'<head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>'
    body = '\n'.join(['<body>', f'<h1>{title}</h1>', *parts, '</body>'])
    return write_text(path, f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n')
