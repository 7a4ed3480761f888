"""Building blocks of report pages: escaped text, tables, charts, the head with its verdict; how a page is stored."""

import html
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mia.evaluation import formats

if TYPE_CHECKING:
    import plotly.graph_objects as go

TONES = ("good", "open", "bad")


def esc(text: object) -> str:
    """Text that cannot be taken for markup."""
    return html.escape(str(text))


def number(text: str) -> str:
    """A formatted number with the typographic minus sign."""
    return esc(text).replace("-", "\u2212")


def cell(value: object, key: str = "") -> str:
    """Any value of a table, written by type and by the unit at the end of its key."""
    text = formats.plain(value, key)
    return esc(text) if isinstance(value, str) else number(text)


def _is_digest(value: object) -> bool:
    text = str(value)
    return len(text) >= 32 and all(c in "0123456789abcdef" for c in text)


def _fact(value: object) -> str:
    """A fact's cell; a digest is cut and shown whole to who points at it."""
    if _is_digest(value):
        return f'<dd title="{esc(value)}">{esc(str(value)[:12])}</dd>'
    return f"<dd>{esc(value)}</dd>"


def head(
    eyebrow: str, title: str, facts: Mapping[str, Any], verdict: str, tone: str, warnings: Sequence[str], below: str
) -> str:
    """The page's head: what was done, the verdict in its tone, what must be known before any number, `below` (HTML)."""
    cells = "".join(f"<div><dt>{esc(label)}</dt>{_fact(value)}</div>" for label, value in facts.items())
    items = "".join(f"<li>{esc(text)}</li>" for text in warnings)
    return f"""<header>
<p class="eyebrow">{esc(eyebrow)}</p>
<h1>{esc(title)}</h1>
<dl class="facts">{cells}</dl>
<div class="verdict {tone}" id="verdict">
<small>Verdict</small>{esc(verdict)}</div>
{f'<ul class="warnings" id="warnings">{items}</ul>' if warnings else ""}
{below}
</header>"""


def charts(drawn: Mapping[str, "go.Figure"], captions: Mapping[str, tuple[str, str]]) -> str:
    """Panels for the figures that were drawn: name -> (caption, note)."""
    parts = []
    for name, (caption, note) in captions.items():
        if name in drawn:
            height = drawn[name].layout.height
            small = f"<span>{esc(note)}</span>" if note else ""
            parts.append(
                f'<figure class="panel"><figcaption>{esc(caption)}{small}</figcaption>'
                f'<div class="chart" data-figure="figure-{name}" style="min-height:{height}px" role="img" '
                f'aria-label="{esc(caption)}"></div></figure>'
            )
    return "".join(parts)


def statistics(values: Mapping[str, Any]) -> str:
    """Single figures as tiles: label -> value."""
    if not values:
        return ""
    cells = "".join(f"<div><dt>{esc(label)}</dt><dd>{cell(value)}</dd></div>" for label, value in values.items())
    return f'<dl class="stats">{cells}</dl>'


def rows_table(rows: Sequence[Mapping[str, Any]], name: str = "rows") -> str:
    """A table of rows with the same keys in the same order; keys become headings."""
    if not rows:
        return ""
    keys = list(rows[0])
    text = {key: any(isinstance(row.get(key), str) for row in rows) for key in keys}
    kind = {key: ' class="text"' if text[key] else "" for key in keys}
    heading = "".join(f'<th scope="col"{kind[key]}>{esc(_label(key))}</th>' for key in keys)
    body = "".join(
        "<tr>"
        + "".join(f"<td{_kind(row.get(key), text[key])}>{cell(row.get(key), key)}</td>" for key in keys)
        + "</tr>"
        for row in rows
    )
    return table(heading, body, name)


def _kind(value: object, text: bool) -> str:
    if not text:
        return ""
    return ' class="text wide"' if len(str(value)) > 40 else ' class="text"'


def _label(key: str) -> str:
    """A heading from a key: `net_usd` -> "Net [USD]", `missing_share` -> "Missing"."""
    unit = " [USD]" if key.endswith("_usd") else ""
    words = key.removesuffix("_usd").removesuffix("_share").replace("_", " ")
    return words[:1].upper() + words[1:] + unit


def table(heading: str, body: str, label: str, tall: bool = False) -> str:
    """A scrolling table of finished HTML cells."""
    return (
        f'<div class="scroll{" tall" if tall else ""}" tabindex="0" role="region" '
        f'aria-label="Table: {label}">'
        f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def store(path: Path, text: str) -> None:
    """Write a page whole or not at all.

    Raises
    ------
    OSError : if the folder cannot be written; an earlier page is then untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)  # a temporary file is private; a report is for people
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
