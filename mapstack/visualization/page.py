"""The shell of a self-contained page: one file, no script, no request to anywhere."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Table", "facts_html", "page_html", "table_html"]

# The policy makes the browser refuse whatever is not in the file; the empty icon spares a request for favicon.ico.
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
"""

STYLE = """
:root { color-scheme: light; --line: #d9dde3; --soft: #f5f6f8; --ink: #1d2530; --faint: #66707c; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); margin: 0 auto; padding: 1.5rem; max-width: 1500px; }
h1 { margin: 0 0 .3rem; } h2 { margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); }
h3 { margin: 1rem 0 .4rem; font-size: 1rem; }
.headline { font-size: 2.2rem; font-weight: 650; } .headline small { font-size: 1rem; color: var(--faint); }
.columns { display: flex; flex-wrap: wrap; gap: 1.5rem 2.5rem; align-items: flex-start; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; } thead th { background: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
.note { color: var(--faint); font-size: .9rem; max-width: 60rem; }
svg { max-width: 100%; height: auto; }
.toggles { position: sticky; top: 0; background: #fffffff0; padding: .5rem 0; z-index: 1; }
.toggles label { margin-right: 1.2rem; } .swatch { display: inline-block; width: 1.3em; height: .25em;
  vertical-align: middle; margin-right: .35em; }
.frame { border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; margin: 1rem 0; }
.cameras { display: grid; grid-template-columns: repeat(3, 1fr); gap: 4px; }
.bevs { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 8px; margin-top: 8px; }
figure { margin: 0; } figcaption { font-size: .8rem; color: var(--faint); }
figure svg { display: block; width: 100%; } .bevs svg { border: 1px solid var(--line); background: #fff; }
.frame path { fill: none; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
.cameras .truth path { stroke-width: 4; opacity: .55; stroke-dasharray: 1 7; }
body:has(#show-truth:not(:checked)) .cameras .truth, body:has(#show-prediction:not(:checked)) .cameras .prediction,
body:has(#show-lidar:not(:checked)) .bevs image { display: none; }
"""


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Args:
        title: caption.
        columns: heads; the first column names the rows.
        rows: one tuple of cells a row, as long as ``columns``.
        note: a line underneath, for what the numbers mean.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def table_html(table: Table) -> str:
    """Lay out a table, every cell escaped."""
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(f"table {table.title!r}: row {row} does not have {len(table.columns)} cells")
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    caption = f"<caption>{html.escape(table.title)}</caption>"
    return f"<div><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}</div>"


def facts_html(facts: dict[str, str]) -> str:
    """Lay out names with their values, every one escaped."""
    return "<dl>" + "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items()) + "</dl>"


def page_html(title: str, body: str) -> str:
    """Put a body that is already HTML into the shell."""
    return HEAD.format(title=html.escape(title), style=STYLE) + body + "\n</body>\n</html>\n"
