"""Write the pages of `docs/` that come from the code: `python docs/generate.py`, or `make docs`.

`--check` writes nothing, names the pages that differ and ends with 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))


def pages() -> dict[Path, str]:
    """Return every generated page's content, by its path."""
    from tools.pages.benchmarks_page import benchmark_pages
    from tools.pages.command_line import cli_page
    from tools.pages.metrics_page import metrics_page
    from tools.pages.recipes_page import recipes_page
    from tools.pages.settings_page import settings_page
    from tools.pages.tables_page import tables_page

    reference = DOCS / "reference"
    return {
        reference / "cli.md": cli_page(),
        reference / "settings.md": settings_page(),
        reference / "recipes.md": recipes_page(),
        reference / "tables-and-views.md": tables_page(),
        reference / "metrics.md": metrics_page(),
        **{DOCS / "benchmarks" / name: text for name, text in benchmark_pages().items()},
    }


def outdated() -> list[str]:
    """Return the names of generated pages whose files differ from what the code gives now."""
    return [
        str(path.relative_to(DOCS))
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    if "--check" in arguments:
        names = outdated()
        sys.stdout.writelines(f"docs/{name}: outdated; run: make docs\n" for name in names)
        return int(bool(names))
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
