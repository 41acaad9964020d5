"""One ANN library behind a line protocol, for bench/peers.

Run: peer.py LIBRARY. Each line of standard input is a JSON command, each line
of standard output its JSON answer:
  {"load": {"base": F, "queries": F, "metric": "l2"|"dot"}}   -> {}
  {"build": {"m": 16, "efc": 200, "threads": 2}}              -> {"cpu": s, "wall": s}
  {"search": {"ef": 64, "k": 10}}                             -> {"wall": s, "ids": FILE}
A search is one call with all queries on one thread, so no library pays for
Python per query.
"""

import json
import os
import sys
import tempfile
import time

import numpy as np


def read_fvecs(name):
    raw = np.fromfile(name, dtype=np.float32)
    dim = raw[:1].view(np.uint32)[0]
    return np.ascontiguousarray(raw.reshape(-1, dim + 1)[:, 1:])


class Hnswlib:
    def build(self, base, metric, m, efc, threads):
        import hnswlib
        self.index = hnswlib.Index(space="l2" if metric == "l2" else "ip", dim=base.shape[1])
        self.index.init_index(max_elements=len(base), M=m, ef_construction=efc, random_seed=7)
        self.index.add_items(base, num_threads=threads)

    def search_all(self, queries, k, ef):
        # One call for all queries, on one thread: no cost of Python per query.
        self.index.set_ef(max(ef, k))
        return self.index.knn_query(queries, k=k, num_threads=1)[0]


class Faiss:
    refine = False

    def build(self, base, metric, m, efc, threads):
        import faiss
        faiss.omp_set_num_threads(threads)
        kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        if self.refine:
            graph = faiss.IndexHNSWSQ(base.shape[1], faiss.ScalarQuantizer.QT_8bit, m, kind)
            self.index = faiss.IndexRefineFlat(graph)
        else:
            graph = faiss.IndexHNSWFlat(base.shape[1], m, kind)
            self.index = graph
        graph.hnsw.efConstruction = efc
        if self.refine:
            self.index.train(base)
        self.index.add(base)
        self.graph = graph

    def search_all(self, queries, k, ef):
        import faiss
        faiss.omp_set_num_threads(1)
        self.graph.hnsw.efSearch = ef
        if self.refine:
            self.index.k_factor = max(1.0, min(ef, 4 * k) / k)
        return self.index.search(queries, k)[1]


class FaissSQ(Faiss):
    refine = True


class USearch:
    def build(self, base, metric, m, efc, threads):
        from usearch.index import Index
        self.index = Index(ndim=base.shape[1], metric="l2sq" if metric == "l2" else "ip", connectivity=m, expansion_add=efc, dtype="f32")
        self.index.add(np.arange(len(base)), base, threads=threads)

    def search_all(self, queries, k, ef):
        self.index.expansion_search = max(ef, k)
        return self.index.search(queries, k, threads=1).keys


LIBRARIES = {"hnswlib": Hnswlib, "faiss-hnsw": Faiss, "faiss-hnswsq": FaissSQ, "usearch": USearch}


def main():
    library = LIBRARIES[sys.argv[1]]()
    out = os.path.join(tempfile.gettempdir(), f"peer-{sys.argv[1]}-{os.getpid()}.ids")
    base = queries = metric = None
    for line in sys.stdin:
        (command, args), = json.loads(line).items()
        answer = {}
        if command == "load":
            base, queries, metric = read_fvecs(args["base"]), read_fvecs(args["queries"]), args["metric"]
        elif command == "build":
            cpu, wall = time.process_time(), time.monotonic()
            library.build(base, metric, args["m"], args["efc"], args["threads"])
            answer = {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}
        elif command == "search":
            wall = time.monotonic()
            ids = library.search_all(queries, args["k"], args["ef"])
            answer = {"wall": time.monotonic() - wall, "ids": out}
            np.ascontiguousarray(ids, dtype=np.uint32).tofile(out)
        print(json.dumps(answer), flush=True)
    if os.path.exists(out):
        os.remove(out)


if __name__ == "__main__":
    main()
