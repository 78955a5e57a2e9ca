"""What to do about an alert: its section of the runbooks in the checkout."""

import re
from pathlib import Path

_LINK = re.compile(r"docs/runbooks/([a-z_-]{1,60})\.md#([a-z0-9_-]+)")


def section(root: Path, link: str) -> str | None:
    """Return the Markdown that a ``runbook_url`` names, None for one of elsewhere."""
    found = _LINK.search(link)
    if not found:
        return None
    path = root / "docs/runbooks" / f"{found[1]}.md"
    if not path.is_file():
        return None
    inside: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            if inside:
                break
            if re.sub(r"[^a-z0-9]+", "-", line[3:].lower()).strip("-") == found[2]:
                inside.append(line)
        elif inside:
            inside.append(line)
    return "\n".join(inside) or None
