"""Small pieces of HTML that notebooks show in place of a value's text."""

import html
from collections.abc import Sequence


def escaped(text: str) -> str:
    """Return a text with nothing in it that a browser would take for markup."""
    return html.escape(text)


def table(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]], below: Sequence[str] = ()) -> str:
    """Return a table as HTML.

    Args:
        columns: Heading of each column, and whether its texts are aligned on the left.
        rows: Texts of the cells.
        below: Lines of text below the table.
    """
    sides = ["left" if left else "right" for _, left in columns]
    head = _row("th", [title for title, _ in columns], sides)
    body = "".join(_row("td", row, sides) for row in rows)
    lines = "".join(f"<div>{escaped(line)}</div>" for line in below)
    return f"<div><table><thead>{head}</thead><tbody>{body}</tbody></table>{lines}</div>"


def _row(tag: str, texts: Sequence[str], sides: Sequence[str]) -> str:
    cells = (
        f'<{tag} style="text-align: {side}">{escaped(text)}</{tag}>' for text, side in zip(texts, sides, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def tree(text: str) -> str:
    """Return an indented list, such as `describe` gives, as sections that can be folded away.

    Args:
        text: One line for each entry; entries of a part are indented by two spaces more than its own line.
    """
    lines = text.split("\n")
    depths = [(len(line) - len(line.lstrip())) // 2 for line in lines]
    found, open_sections = [], []
    for line, depth, following in zip(lines, depths, [*depths[1:], 0], strict=True):
        while open_sections and open_sections[-1] >= depth:
            found.append("</details>")
            open_sections.pop()
        indent = f'style="margin-left: {"1.5em" if depth else "0"}"'
        if following > depth:
            found.append(f"<details open {indent}><summary>{escaped(line.strip())}</summary>")
            open_sections.append(depth)
        else:
            found.append(f"<div {indent}>{escaped(line.strip())}</div>")
    return f'<div style="font-family: monospace">{"".join(found)}{"</details>" * len(open_sections)}</div>'
