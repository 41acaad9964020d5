"""Reads the outcomes of a pytest run and prints them by file."""

import xml.etree.ElementTree as ElementTree

KINDS = ("passed", "failed", "skipped")


def read(report):
    """Returns {file: {case: (kind, message)}} of a junit report."""
    files = {}
    for case in ElementTree.parse(report).iter("testcase"):
        file = (case.get("classname") or case.get("name", "?")).rpartition(".")[2]
        kind, message = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                kind, message = "failed", child.get("message", "")
            elif child.tag == "skipped" and kind == "passed":
                kind, message = "skipped", child.get("message", "")
        files.setdefault(file, {})[case.get("name", "?")] = (kind, message)
    return files


def count(cases):
    """Returns how many cases of a file went which way."""
    return {kind: sum(outcome == kind for outcome, _ in cases.values()) for kind in KINDS}


def table(rows, remarks=None):
    """Prints {file: counts}, remarks on files, and a last line for all, which it returns."""
    total = {kind: sum(row[kind] for row in rows.values()) for kind in KINDS}
    width = max(map(len, rows), default=0)
    print(f"\n{'file':{width}}  " + "  ".join(f"{kind:>7}" for kind in KINDS))
    for file, row in [*sorted(rows.items()), ("total", total)]:
        line = f"{file:{width}}  " + "  ".join(f"{row[kind]:>7}" for kind in KINDS)
        print(f"{line}  {(remarks or {}).get(file, '')}".rstrip())
    return total
