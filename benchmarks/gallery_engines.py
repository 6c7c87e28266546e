"""Which engine for a gallery of templates? Speed of enrollment and search, disk, memory, and hits of exact search.

    pip install lancedb pymilvus milvus-lite faiss-cpu psutil
    python benchmarks/gallery_engines.py /tmp/galleries 10000 100000
    python benchmarks/gallery_engines.py /tmp/galleries 1000000 Faiss Rim Lance

Templates are random vectors of length 1: one centroid per identity plus noise. Their cosines match those of LFW's pairs
of a sharp picture and a 16 px probe, with a RIM of 20 CPU minutes (genuine 0.400 ± 0.125, impostor 0.009 ± 0.098);
`--match` prints the cosines. Every identity has one gallery template, and there are 1,000 probes. Each engine runs in a
process of its own.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

import numpy as np

SIZE = 512
EFFECTIVE = 104  # dimensions: random directions among them have a cosine of 0 ± 1 / sqrt(104) = 0.098
GENUINE, SPREAD = 0.400, 0.125
PROBES = 1000
SINGLE = 50  # probes that are searched one at a time
BREADTH = 512  # candidates of an HNSW search; with the few of the engines' defaults most first hits are lost
BLOCK = 1000  # templates in one enrollment step


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def templates(count):
    """Return gallery (count, 512), probes (PROBES, 512) and the identity of each probe."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(SIZE, EFFECTIVE)))[0].astype(np.float32)
    gallery = unit(rng.normal(size=(count, EFFECTIVE)).astype(np.float32))
    owner = rng.choice(count, PROBES, replace=False)
    cosine = np.clip(rng.normal(GENUINE, SPREAD, (PROBES, 1)), 0.0, 0.99).astype(np.float32)
    other = rng.normal(size=(PROBES, EFFECTIVE)).astype(np.float32)
    other = unit(other - (other * gallery[owner]).sum(1, keepdims=True) * gallery[owner])
    probes = cosine * gallery[owner] + np.sqrt(1 - cosine**2) * other
    return unit(gallery @ basis.T), unit(probes @ basis.T), owner


class Engine(Protocol):
    """An engine in a folder of its own."""

    def add(self, first, vectors):
        """Add vectors, numbered from `first`."""

    def finish(self):
        """Make everything searchable."""

    def search(self, probes):
        """Return the numbers (B, 5) of the five vectors most similar to each probe."""


class Faiss(Engine):
    """The yardstick: exact search in memory."""

    def __init__(self, folder):
        import faiss

        faiss.omp_set_num_threads(2)
        self.index, self.folder = faiss.IndexFlatIP(SIZE), folder

    def add(self, first, vectors):
        self.index.add(vectors)

    def finish(self):
        import faiss

        faiss.write_index(self.index, str(self.folder / "index.faiss"))

    def search(self, probes):
        return self.index.search(probes, 5)[1]


class Rim(Engine):
    """A gallery of this package: LanceDB keeps the templates, and `Gallery.search` compares them all."""

    def __init__(self, folder):
        from rim_lightning.gallery.index import Gallery

        self.gallery = Gallery(folder / "known", "made up", SIZE, create=True)

    def add(self, first, vectors):
        import torch

        from rim_lightning.gallery.index import Enrolled, Template

        numbers = range(first, first + len(vectors))
        pictures = [Enrolled(f"person {number}", f"{number}.png", f"{number:064x}") for number in numbers]
        self.gallery.add(map(Template, pictures, torch.from_numpy(vectors)))

    def finish(self):
        self.gallery.tidy()

    def search(self, probes):
        import torch

        from rim_lightning.commands.rim.face_questions import MOST_TOGETHER

        blocks = torch.from_numpy(probes).split(MOST_TOGETHER)
        hits = [hits for block in blocks for hits in self.gallery.search(block, 5)]
        return np.array([[int(hit.person.split()[1]) for hit in of_probe] for of_probe in hits])


class Lance(Engine):
    """LanceDB's own search in a local folder, every template compared."""

    index_type = None

    def __init__(self, folder):
        import lancedb
        import pyarrow as pa

        fields = [("id", pa.int64()), ("person", pa.string()), ("vector", pa.list_(pa.float32(), SIZE))]
        self.table = lancedb.connect(folder).create_table("templates", schema=pa.schema(fields))
        self.schema = self.table.schema

    def add(self, first, vectors):
        import pyarrow as pa

        numbers = range(first, first + len(vectors))
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), SIZE)
        columns = [pa.array(numbers), pa.array([f"person {number}" for number in numbers]), flat]
        self.table.add(pa.Table.from_arrays(columns, schema=self.schema))

    def finish(self):
        self.table.optimize()
        if self.index_type:
            self.table.create_index(metric="cosine", index_type=self.index_type)

    def search(self, probes):
        query = self.table.search(probes).distance_type("cosine").limit(5).select(["id"])
        hits = (query.ef(BREADTH).refine_factor(4) if self.index_type else query).to_arrow()
        if len(probes) > 1:  # for one probe there is no such column
            hits = hits.sort_by([("query_index", "ascending"), ("_distance", "ascending")])
        return hits["id"].to_numpy().reshape(len(probes), 5)


class LanceHnsw(Lance):
    """LanceDB with an IVF_HNSW_SQ index."""

    index_type = "IVF_HNSW_SQ"


class Milvus(Engine):
    """Milvus Lite in a local file, every template compared."""

    index_type = "FLAT"

    def __init__(self, folder):
        from pymilvus import DataType, MilvusClient

        self.client = MilvusClient(str(folder / "milvus.db"))
        schema = self.client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("person", DataType.VARCHAR, max_length=200)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=SIZE)
        index = self.client.prepare_index_params()
        index.add_index("vector", index_type=self.index_type, metric_type="COSINE")
        self.client.create_collection("templates", schema=schema, index_params=index)

    def add(self, first, vectors):
        rows = [
            {"id": first + offset, "person": f"person {first + offset}", "vector": vector}
            for offset, vector in enumerate(vectors)
        ]
        self.client.insert("templates", rows)

    def finish(self):
        self.client.flush("templates")
        self.client.load_collection("templates")

    def search(self, probes):
        breadth = {"params": {"ef": BREADTH}} if self.index_type == "HNSW" else {}
        answers = self.client.search("templates", list(probes), limit=5, search_params=breadth)
        return np.array([[hit["id"] for hit in hits] for hits in answers])


class MilvusHnsw(Milvus):
    """Milvus Lite with an HNSW index."""

    index_type = "HNSW"


ENGINES = {engine.__name__: engine for engine in (Faiss, Rim, Lance, LanceHnsw, Milvus, MilvusHnsw)}


def measure(name, folder, count):
    import psutil

    gallery, probes, owner = templates(count)
    exact = (probes @ gallery.T).argmax(1)
    process = psutil.Process()
    before = process.memory_info().rss
    engine = ENGINES[name](folder)
    start = time.perf_counter()
    for first in range(0, count, BLOCK):
        engine.add(first, gallery[first : first + BLOCK])
    enrolled = time.perf_counter() - start
    engine.finish()
    finished = time.perf_counter() - start
    engine.search(probes[:10])
    start = time.perf_counter()
    for i in range(SINGLE):
        engine.search(probes[i : i + 1])
    one = SINGLE / (time.perf_counter() - start)
    start = time.perf_counter()
    hits = engine.search(probes)
    many = PROBES / (time.perf_counter() - start)
    return {
        "engine": name,
        "templates": count,
        "enrolled per second": round(count / enrolled),
        "seconds until searchable": round(finished, 1),
        "queries per second, one at a time": round(one, 1),
        "queries per second, 1,000 at once": round(many),
        "recall@1 of exact": float((hits[:, 0] == exact).mean()),
        "rank 1": float((hits[:, 0] == owner).mean()),
        "MB of disk": round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6),
        "MB of memory": round((process.memory_info().rss - before) / 1e6),
    }


def main():
    if sys.argv[1] == "--one":
        _, _, name, folder, count = sys.argv
        print("RESULT", json.dumps(measure(name, Path(folder), int(count))))
        return
    if sys.argv[1] == "--match":
        gallery, probes, owner = templates(2000)
        cosine = probes @ gallery.T
        genuine = cosine[np.arange(PROBES), owner]
        print(f"genuine {genuine.mean():.3f} ± {genuine.std():.3f}, all {cosine.mean():.3f} ± {cosine.std():.3f}")
        return
    print("| " + " | ".join(["engine", "templates", "…"]) + " |")
    names = [argument for argument in sys.argv[2:] if argument in ENGINES] or ENGINES
    for count in [int(argument) for argument in sys.argv[2:] if argument not in ENGINES]:
        for name in names:
            folder = Path(sys.argv[1]) / f"{name}_{count}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            call = [sys.executable, __file__, "--one", name, str(folder), str(count)]
            done = subprocess.run(call, capture_output=True, text=True)
            line = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
            print(line[0][7:] if line else f"{name} {count} failed: {done.stderr[-300:]}", flush=True)


if __name__ == "__main__":
    main()
