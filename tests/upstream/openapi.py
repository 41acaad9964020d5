"""Runs Qdrant's own REST acceptance suite against a node of ours.

The suite is not part of this repository: give the path of a checkout of
qdrant/qdrant. It talks to a server on the ports 6333 and 6334 and nothing else.
Files and cases that need parts of the API which are not built yet (LATER,
LATER_CASES) are left out unless asked for with --all.

    python tests/upstream/openapi.py --binary .bin/sextant CHECKOUT [FILE...]

Prints a table passed/failed/skipped by file and exits with 1 when something
failed, with 2 when the node or the suite could not be started.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import outcomes

URL = "http://127.0.0.1:6333"

# What the files need: see docs/compatibility.md.
LATER = {
    "deferred_points": "prevent_unoptimized",
    "discover": "discover",
    "distance_matrix": "matrix",
    "group": "groups",
    "multi_vector": "multivectors",
    "multi_vector_uint8": "multivectors",
    "multi_vector_unnamed": "multivectors",
    "multicollection_reco": "recommend",
    "named_vector_crud": "vector names",
    "optimizations": "optimizations",
    "query_formula": "formula",
    "query_full": "multivectors",
    "query_indexes": "multivectors",
    "recommend": "recommend",
    "recommendation_multivector": "multivectors",
    "relevance_feedback": "relevance feedback",
    "shard_key": "cluster",
    "shard_snapshot": "snapshots",
    "snapshot": "snapshots",
    "strict_mode_nested": "strict mode",
    "strictmode": "strict mode",
    "timeout": "a load generator",
    "turbo4_storage": "turbo4",
    "turboquant": "turbo",
    "wait_timeout": "staging operations",
}

# Single cases of the other files.
LATER_CASES = {
    "basic_retrieve_api::test_recommendation": "recommend",
    "basic_retrieve_multivec_api::test_recommendation": "recommend",
    "collection_update::test_edit_collection_params": "product quantization",
    "collection_update_multivec::test_edit_collection_params": "product quantization",
    "match_any_empty::test_match_any_empty_with_strict_mode": "strict mode",
    "prefix_match::test_strict_mode": "strict mode",
    "query::test_basic_recommend": "recommend",
    "query::test_basic_discover": "discover",
    "query::test_basic_context": "context",
    "query::test_nearest_with_mmr": "MMR",
    "sparse_vector_validations::test_sorted_sparse_vector": "MMR",
    "vector_config::test_configuration_warnings[False-False-inline_storage_multivec": "multivectors",
    "vector_config::test_configuration_warnings[False-True-inline_storage_multivec": "multivectors",
    "vector_config::test_configuration_warnings[True-False-inline_storage_multivec": "multivectors",
    "vector_config::test_configuration_warnings[True-True-inline_storage_multivec": "multivectors",
}


def main():
    args = arguments()
    suite = args.checkout / "tests" / "openapi"
    if not suite.is_dir():
        sys.exit(f"no suite in {suite}: give a checkout of qdrant/qdrant, as in UPSTREAM=../qdrant")
    if listening():
        print(f"something answers on {URL} already", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="sextant-upstream-") as scratch:
        node = start(args.binary, pathlib.Path(scratch))
        try:
            if not wait_until_ready(node):
                print((pathlib.Path(scratch) / "node.log").read_text(), file=sys.stderr)
                return 2
            report = pathlib.Path(scratch) / "report.xml"
            code = run(args, files(suite, args), report)
            if code > 1 or not report.exists():  # not even collected
                return 2
            files_run = outcomes.read(report)
            total = outcomes.table({file: outcomes.count(cases) for file, cases in files_run.items()})
        finally:
            node.terminate()
            node.wait()
    return 1 if total["failed"] else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument("files", nargs="*", help="names such as count or test_count.py; without any: all that are built")
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--all", action="store_true", help="also what needs parts that are not built")
    parser.add_argument("--timeout", default="60", help="seconds for each case (%(default)s)")
    args = parser.parse_intermixed_args()
    args.checkout, args.binary = args.checkout.resolve(), args.binary.resolve()
    return args


def files(suite, args):
    """Returns the files to run, relative to the checkout."""
    names = [name.removesuffix(".py").removeprefix("test_") for name in args.files]
    if not names:
        names = sorted(file.stem.removeprefix("test_") for file in suite.glob("test_*.py"))
        if not args.all:
            names = [name for name in names if name not in LATER]
    return [f"tests/openapi/test_{name}.py" for name in names]


def start(binary, scratch):
    """Starts a node whose data vanishes with scratch."""
    settings = {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__STORAGE__STORAGE_PATH": str(scratch / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(scratch / "snapshots"),
    }
    with (scratch / "node.log").open("wb") as log:
        return subprocess.Popen(
            [str(binary)], cwd=scratch, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
        )


def listening():
    try:
        with urllib.request.urlopen(URL + "/readyz", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_until_ready(node, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end and node.poll() is None:
        if listening():
            return True
        time.sleep(0.1)
    return False


def run(args, names, report):
    command = [sys.executable, "-m", "pytest", *names, "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += ["--timeout", args.timeout, f"--junitxml={report}", f"--rootdir={args.checkout}"]
    if not args.all:
        for case in LATER_CASES:
            file, _, name = case.partition("::")
            command += ["--deselect", f"tests/openapi/test_{file}.py::{name}"]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "QDRANT_HOST": URL}
    return subprocess.run(command, cwd=args.checkout, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
