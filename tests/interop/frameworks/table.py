#!/usr/bin/env python3
"""Compares the table of frameworks in docs/clients.md with what a run has found: `table.py FACTS_FOLDER [--write]`."""

import json
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs/clients.md"
VENDORS = {"openai": "OpenAI", "openai-strict": "OpenAI strict", "anthropic": "Anthropic", "gemini": "Gemini", "bedrock": "Bedrock"}
BEGIN, END = "<!-- frameworks: made by tests/interop/frameworks/run -->\n", "<!-- end of frameworks -->\n"
COLUMNS = {
    "revision": "revision",
    "query": "`?token=`",
    "vendors": "vendors that take its tools",
    "structured": "structured result",
    "failed": "failed result",
    "dynamic": "`mode=dynamic`",
    "search": "`mode=search`",
    "restart": "server restarts",
    "renewal": "new token",
    "long": "call of 70 s",
    "limits": "its own limits",
}


def mode(facts: dict[str, str]) -> str:
    """The mode to choose where there are too many tools to list."""
    return "dynamic or search" if facts.get("dynamic") == "yes" else "search"


def table(folder: Path) -> str:
    rows = [["client", *COLUMNS.values(), "mode for many tools"]]
    rows.append(["---"] * len(rows[0]))
    found = []
    for file in folder.glob("*.json"):
        facts = json.loads(file.read_text())
        tried = [asked["tools"] for asked in json.loads(file.with_suffix(".asked").read_text()).values()]
        facts["vendors"] = ", ".join(name for api, name in VENDORS.items() if api in tried[0]) or "–"
        found.append(facts)
    for facts in sorted(found, key=lambda facts: facts["package"].strip("@")):
        cells = [facts.get(key, "–") for key in COLUMNS]
        rows.append([f"`{facts['package']}` {facts['version']}", *cells, mode(facts)])
    return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\n"


def main() -> None:
    folder = Path(sys.argv[1])
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    made = before + BEGIN + table(folder) + END + after
    if made == page:
        print("docs/clients.md says what was found")
    elif "--write" in sys.argv:
        PAGE.write_text(made)
    else:
        print(table(folder))
        sys.exit("docs/clients.md says otherwise; look at why, then run tests/interop/frameworks/run --write")


main()
