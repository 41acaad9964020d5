"""One ANN library behind a line protocol, for bench/peers.

Run: peer.py LIBRARY. Each line of standard input is a JSON command, each line
of standard output its JSON answer, {"error": "..."} when it failed:
  {"load": {"base": F, "queries": F, "ids": F, "metric": "l2"|"dot"|"cosine"}}
      -> {"version": "1.2.3"}
  {"build": {"m": 16, "efc": 200, "threads": 2, "cache": PATH}}
      -> {"cpu": s, "wall": s, "cached": true|false}; "cache" may be left out
  {"search": {"ef": 64, "k": 10, "refine": 1}}
      -> {"cpu": s, "wall": s}; the row numbers, k a query, are in the file "ids"
A search is one call with all queries on one thread, so no library pays for
Python per query. With "cosine" all rows have length 1 already.
"""

import importlib.metadata
import json
import os
import sys
import time

import numpy as np


def read_fvecs(name):
    raw = np.fromfile(name, dtype=np.float32)
    dim = raw[:1].view(np.uint32)[0]
    return np.ascontiguousarray(raw.reshape(-1, dim + 1)[:, 1:])


class Hnswlib:
    package = "hnswlib"

    def __init__(self, dim, metric):
        import hnswlib
        self.index = hnswlib.Index(space="l2" if metric == "l2" else "ip", dim=dim)

    def build(self, base, m, efc, threads):
        self.index.init_index(max_elements=len(base), M=m, ef_construction=efc, random_seed=7)
        self.index.add_items(base, num_threads=threads)

    def save(self, name):
        self.index.save_index(name)

    def load(self, name):
        self.index.load_index(name)

    def search(self, queries, k, ef, refine):
        self.index.set_ef(max(ef, k))
        return self.index.knn_query(queries, k=k, num_threads=1)[0]


class Faiss:
    package = "faiss-cpu"
    codes = False

    def __init__(self, dim, metric):
        import faiss
        self.faiss, self.dim = faiss, dim
        self.metric = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT

    def build(self, base, m, efc, threads):
        faiss = self.faiss
        faiss.omp_set_num_threads(threads)
        if self.codes:
            graph = faiss.IndexHNSWSQ(self.dim, faiss.ScalarQuantizer.QT_8bit, m, self.metric)
        else:
            graph = faiss.IndexHNSWFlat(self.dim, m, self.metric)
        graph.hnsw.efConstruction = efc
        self.index = self.graph = graph
        if self.codes:
            # IndexRefineFlat keeps the raw rows and compares k * k_factor candidates
            # with them. It holds only a pointer to the graph.
            self.index = faiss.IndexRefineFlat(graph)
            self.index.train(base)
        self.index.add(base)

    def save(self, name):
        self.faiss.write_index(self.index, name)

    def load(self, name):
        self.index = self.graph = self.faiss.read_index(name)
        if self.codes:
            self.graph = self.faiss.downcast_index(self.index.base_index)

    def search(self, queries, k, ef, refine):
        self.faiss.omp_set_num_threads(1)
        self.graph.hnsw.efSearch = max(ef, k)
        if self.codes:
            self.index.k_factor = refine
        return self.index.search(queries, k)[1]


class FaissSQ(Faiss):
    codes = True


class USearch:
    package = "usearch"
    dtype = "f32"

    def __init__(self, dim, metric):
        self.dim, self.metric = dim, "l2sq" if metric == "l2" else "ip"

    def make(self, m, efc):
        from usearch.index import Index
        self.index = Index(ndim=self.dim, metric=self.metric, connectivity=m, expansion_add=efc, dtype=self.dtype)

    def build(self, base, m, efc, threads):
        self.make(m, efc)
        self.index.add(np.arange(len(base)), base, threads=threads)

    def save(self, name):
        self.index.save(name)

    def load(self, name):
        self.make(16, 128)  # the file says what it was built with
        self.index.load(name)

    def search(self, queries, k, ef, refine):
        self.index.expansion_search = max(ef, k)
        return self.index.search(queries, k, threads=1).keys


class USearchF16(USearch):
    dtype = "f16"


class USearchI8(USearch):
    """Rows as bytes. usearch takes components within [-1, 1] for that, so all are
    scaled by the same factor, which keeps the order of results. It can't compare
    candidates again with the raw rows: done here, for all queries at once."""
    dtype = "i8"
    block = 256  # queries refined at a time, to stay within the cache

    def prepare(self, base):
        self.base, self.scale = base, np.float32(1 / np.abs(base).max())

    def build(self, base, m, efc, threads):
        super().build(base * self.scale, m, efc, threads)

    def search(self, queries, k, ef, refine):
        keys = super().search(queries * self.scale, k * refine, max(ef, k * refine), 1).astype(np.int64)
        if refine == 1:
            return keys
        found = np.empty((len(queries), k), dtype=np.int64)
        for at in range(0, len(queries), self.block):
            some, q = keys[at:at + self.block], queries[at:at + self.block]
            rows = self.base[some]
            if self.metric == "ip":
                far = -np.matmul(rows, q[:, :, None])[:, :, 0]
            else:
                rows -= q[:, None, :]
                far = np.einsum("qrd,qrd->qr", rows, rows)
            best = np.argpartition(far, k - 1, axis=1)[:, :k]
            found[at:at + self.block] = np.take_along_axis(some, best, axis=1)
        return found


LIBRARIES = {
    "hnswlib": Hnswlib, "faiss-hnsw": Faiss, "faiss-hnswsq": FaissSQ,
    "usearch": USearch, "usearch-f16": USearchF16, "usearch-i8": USearchI8,
}


class Peer:
    """The state between commands."""

    def __init__(self, kind):
        self.kind = kind

    def load(self, base, queries, ids, metric):
        self.base, self.queries, self.ids = base, read_fvecs(queries), ids
        self.library = self.kind(self.queries.shape[1], metric)
        return {"version": importlib.metadata.version(self.kind.package)}

    def build(self, m, efc, threads, cache=None):
        base = read_fvecs(self.base)
        if hasattr(self.library, "prepare"):
            self.library.prepare(base)
        if cache and os.path.exists(cache + ".json"):
            self.library.load(cache + ".index")
            with open(cache + ".json") as f:
                return {**json.load(f), "cached": True}
        cpu, wall = time.process_time(), time.monotonic()
        self.library.build(base, m, efc, threads)
        cost = {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}
        if cache:
            # The index is there once its cost is.
            self.library.save(cache + ".index")
            with open(cache + ".json.new", "w") as f:
                json.dump(cost, f)
            os.rename(cache + ".json.new", cache + ".json")
        return cost

    def search(self, ef, k, refine):
        cpu, wall = time.process_time(), time.monotonic()
        ids = self.library.search(self.queries, k, ef, refine)
        cost = {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}
        np.ascontiguousarray(ids).astype(np.uint32).tofile(self.ids)
        return cost


def main():
    peer = Peer(LIBRARIES[sys.argv[1]])
    for line in sys.stdin:
        (command, args), = json.loads(line).items()
        try:
            answer = getattr(peer, command)(**args)
        except Exception as e:  # the asker shows it
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
