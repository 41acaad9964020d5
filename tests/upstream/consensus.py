"""Runs Qdrant's own acceptance suite for clusters against our binary.

The suite is not part of this repository: give the path of a checkout of
qdrant/qdrant. What it needs is copied to a directory of its own, and our binary
takes the place of theirs there; each case starts and kills its own nodes.
What can't pass is listed with the reason in consensus.list.

    python tests/upstream/consensus.py --binary .bin/sextant CHECKOUT [FILE...]

The whole suite takes most of an hour. With --for SECONDS it ends early, after the
file that is running then; with --resume it goes on with the files that are left.
What was seen before is in the table, too.

Prints every case, then a table passed/failed/skipped by file with what became of
it. Exits with 1 when a case failed that isn't listed, with 2 when the suite could
not be started, with 3 when files are left for --resume.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import outcomes

HERE = pathlib.Path(__file__).resolve().parent
SUITE = "tests/consensus_tests"
NEEDED = (SUITE, "config")
SEEN = "seen.json"  # what the files came to, for --resume


def main():
    args = arguments()
    if not (args.checkout / SUITE).is_dir():
        print(f"no suite in {args.checkout / SUITE}: give a checkout of qdrant/qdrant, as in UPSTREAM=../qdrant", file=sys.stderr)
        return 2
    listed = read_list(HERE / "consensus.list")
    seen = prepare(args)
    wanted = files(args, listed)
    left = [file for file in wanted if file not in seen]
    end = time.monotonic() + args.end_after
    while left and time.monotonic() < end:
        file = left.pop(0)
        seen[file] = run(args, file, listed)
        if seen[file] is None:
            return 2
        show(file, seen[file], listed)
        (args.scratch / SEEN).write_text(json.dumps(seen, indent=1))
    surprises = summary(args, seen, listed)
    if left:
        print(f"{len(left)} files are left, --resume goes on with {left[0]}")
        return 3
    return 1 if surprises else 0


def summary(args, seen, listed):
    """Prints what became of every file, and returns the cases that failed without being listed."""
    rows = {file: outcomes.count(cases) for file, cases in seen.items()}
    outcomes.table(rows, {file: verdict(file, cases, listed) for file, cases in seen.items()})
    out = {} if args.all or args.files else {name: reason for name, (kind, reason) in listed.items() if kind == "out"}
    if out:
        print("\nnot run:", *(f"  {name}: {reason}" for name, reason in sorted(out.items())), sep="\n")
    verdicts = [verdict(file, cases, listed).partition(":")[0] for file, cases in seen.items()]
    print(f"\nfiles: {verdicts.count('passes')} pass, {verdicts.count('fails as listed')} fail as listed, "
          f"{verdicts.count('FAILS')} fail otherwise, {sum('::' not in name for name in out)} left out")
    surprises = []
    for file, cases in seen.items():
        for case, (kind, _) in cases.items():
            name = f"{file.partition('::')[0]}::{case}"
            if kind == "failed" and not known(file, case, listed):
                surprises.append(name)
                print(f"failed and not listed: {name}")
            if kind == "passed" and known(file, case, listed):
                print(f"passed although listed as failing: {name}")
    return surprises


def verdict(file, cases, listed):
    """Returns in words what became of a file."""
    failed = [case for case, (kind, _) in cases.items() if kind == "failed"]
    if not failed:
        return "passes"
    reasons = {known(file, case, listed) for case in failed}
    return "FAILS" if "" in reasons else "fails as listed: " + "; ".join(sorted(reasons))


def known(file, case, listed):
    """Returns why a case is known to fail, or nothing."""
    name = f"{file.partition('::')[0]}::{case}"
    names = (name, name.partition("[")[0], name.partition("::")[0])
    return next((listed[n][1] for n in names if listed.get(n, ("", ""))[0] == "fails"), "")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument("files", nargs="*", help="names such as order_by or test_order_by.py, with ::case; without any: all that are not left out")
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--scratch", type=pathlib.Path, required=True, help="where to work; what was there is removed, logs stay")
    parser.add_argument("--all", action="store_true", help="also what is left out")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run ended")
    parser.add_argument("--for", dest="end_after", type=float, default=float("inf"), metavar="SECONDS", help="start no file after so long")
    parser.add_argument("--timeout", type=int, default=150, help="seconds for each case (%(default)s)")
    parser.add_argument("--file-timeout", type=int, default=600, help="seconds for each file (%(default)s)")
    args = parser.parse_intermixed_args()
    args.checkout, args.binary, args.scratch = (p.resolve() for p in (args.checkout, args.binary, args.scratch))
    return args


def read_list(path):
    """Returns {file or file::case: (kind, reason)}."""
    listed = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        kind, name, reason = (line.split(maxsplit=2) + ["", ""])[:3]
        if kind not in ("out", "fails") or not reason:
            sys.exit(f"{path.name}:{number}: want: out|fails FILE[::CASE] REASON")
        listed[name] = (kind, reason)
    return listed


def prepare(args):
    """Lays out a tree as the suite expects it, with our binary in it, and returns what was seen before."""
    if args.resume and (args.scratch / SEEN).exists():
        return json.loads((args.scratch / SEEN).read_text())
    shutil.rmtree(args.scratch, ignore_errors=True)
    for part in NEEDED:
        shutil.copytree(args.checkout / part, args.scratch / part)
    binary = args.scratch / "target" / "debug" / "qdrant"
    binary.parent.mkdir(parents=True)
    binary.symlink_to(args.binary)
    return {}


def files(args, listed):
    """Returns the files to run, as names without test_ and .py, possibly with ::case."""
    if args.files:
        return [name.replace(".py", "", 1).removeprefix("test_") for name in args.files]
    names = sorted(path.stem.removeprefix("test_") for path in (args.scratch / SUITE).rglob("test_*.py"))
    return [name for name in names if args.all or listed.get(name, ("", ""))[0] != "out"]


def run(args, file, listed):
    """Runs one file and returns its outcomes, or None when it could not be started."""
    name, _, case = file.partition("::")
    paths = list((args.scratch / SUITE).rglob(f"test_{name}.py"))
    if not paths:
        print(f"no file test_{name}.py in the suite", file=sys.stderr)
        return None
    path = str(paths[0].relative_to(args.scratch / "tests"))
    report = args.scratch / f"{name}.xml"
    command = [sys.executable, "-m", "pytest", path + ("::" + case if case else ""), "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += ["--timeout", str(args.timeout), f"--junitxml={report}", f"--rootdir={args.scratch / 'tests'}"]
    command += [f"--basetemp={args.scratch / 'peers'}"]
    if not args.all and not case:
        for known, (kind, _) in listed.items():
            if kind == "out" and known.startswith(name + "::"):
                command += ["--deselect", f"{path}::{known.partition('::')[2]}"]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with (args.scratch / f"{name}.out").open("wb") as out:
        began = time.monotonic()
        code = wait(command, args, env, out)
    print(f"{file} ({time.monotonic() - began:.0f} s)", flush=True)
    if code is None:
        return {"all cases": ("failed", f"not done after {args.file_timeout} s")}
    if code > 1 or not report.exists():
        print((args.scratch / f"{name}.out").read_text(errors="replace"), file=sys.stderr)
        return None
    return {case: outcome for cases in outcomes.read(report).values() for case, outcome in cases.items()}


def wait(command, args, env, out):
    """Runs a command in a process group of its own, which ends with it; None when it took too long."""
    process = subprocess.Popen(
        command, cwd=args.scratch / "tests", env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait(timeout=args.file_timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:  # nodes that a case left behind, too
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def show(file, cases, listed):
    """Prints a file's cases."""
    for case, (kind, message) in cases.items():
        reason = known(file, case, listed) if kind == "failed" else ""
        note = f"known: {reason}" if reason else message.partition("\n")[0]
        print(f"  {kind:8}{case}" + (f": {note}" if note else ""), flush=True)


if __name__ == "__main__":
    sys.exit(main())
