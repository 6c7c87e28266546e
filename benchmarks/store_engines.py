"""Which engine for sets of millions of crops? Speed of random access and of two ranks, and resume within an epoch.

    pip install litdata webdataset pylance pyarrow lmdb
    python benchmarks/store_engines.py prepared/celeba_128 /tmp/engines 40000

The crops of a prepared store are repeated up to the number, and stored as JPEG (quality 95) by all engines except the
memory map. Orders are random over the whole set, as training needs them. WebDataset has no access by position; it
shuffles a buffer of 1,000. "cold": after the page cache was dropped (needs root).
"""

import io
import json
import os
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from rim_lightning.data.sampler import FaceSampler
from rim_lightning.data.stores.prepared import PreparedStore

BATCH = 64
SHARD = 10_000


def encoded(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def decoded(content):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


class Engine(Dataset):
    """Crops in a folder. An item is (position, crop)."""

    @staticmethod
    def write(folder, crops):
        """Write an iterator of crops, (H, W, 3) uint8 each."""
        raise NotImplementedError


class Memmap(Engine):
    """One array on disk, not compressed."""

    def __init__(self, folder):
        self.images = np.load(folder / "images.npy", mmap_mode="r")

    @staticmethod
    def write(folder, crops):
        first = next(crops)
        count, images = 1, None
        images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (COUNT, *first.shape))
        images[0] = first
        for image in crops:
            images[count] = image
            count += 1
        images.flush()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, key):
        return int(key[0]), np.array(self.images[key[0]])


class Lance(Engine):
    """A Lance data set."""

    def __init__(self, folder):
        self.folder, self.table = folder, None

    @staticmethod
    def write(folder, crops):
        import lance
        import pyarrow as pa

        schema = pa.schema([("image", pa.binary())])
        batches = (pa.record_batch([pa.array([encoded(image)])], schema=schema) for image in crops)
        lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), folder / "set.lance")

    def open(self):
        """Open the data set once per process."""
        import lance

        self.table = self.table or lance.dataset(str(self.folder / "set.lance"))
        return self.table

    def __len__(self):
        return COUNT

    def __getitem__(self, key):
        content = self.open().take([key[0]], columns=["image"])["image"][0].as_py()
        return int(key[0]), decoded(content)

    def __getitems__(self, keys):
        positions = [key[0] for key in keys]
        column = self.open().take(positions, columns=["image"])["image"]
        return [(position, decoded(value.as_py())) for position, value in zip(positions, column, strict=True)]


class Arrow(Engine):
    """Arrow files as `rim_lightning.data.stores.packed` writes them: one picture per batch, 10,000 per file."""

    def __init__(self, folder):
        self.folder, self.files = folder, {}

    @staticmethod
    def write(folder, crops):
        import pyarrow as pa

        schema = pa.schema([("image", pa.binary())])
        for number in range(-(-COUNT // SHARD)):
            with pa.OSFile(str(folder / f"{number}.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
                for image in islice(crops, SHARD):
                    writer.write_batch(pa.record_batch([pa.array([encoded(image)])], schema=schema))

    def __len__(self):
        return COUNT

    def __getitem__(self, key):
        import pyarrow as pa

        number, row = divmod(int(key[0]), SHARD)
        if number not in self.files:
            self.files[number] = pa.ipc.open_file(pa.memory_map(str(self.folder / f"{number}.arrow")))
        return int(key[0]), decoded(self.files[number].get_batch(row).column(0)[0].as_buffer())


class Lmdb(Engine):
    """An LMDB database."""

    def __init__(self, folder):
        self.folder, self.base = folder, None

    @staticmethod
    def write(folder, crops):
        import lmdb

        base = lmdb.open(str(folder / "set.lmdb"), map_size=1 << 40)
        with base.begin(write=True) as transaction:
            for number, image in enumerate(crops):
                transaction.put(number.to_bytes(8, "big"), encoded(image))
        base.close()

    def __len__(self):
        return COUNT

    def __getitem__(self, key):
        import lmdb

        self.base = self.base or lmdb.open(str(self.folder / "set.lmdb"), readonly=True, lock=False, readahead=False)
        with self.base.begin(buffers=True) as transaction:
            return int(key[0]), decoded(transaction.get(int(key[0]).to_bytes(8, "big")))


class LitData(Engine):
    """A litdata data set, read by position."""

    def __init__(self, folder):
        import litdata

        self.set = litdata.StreamingDataset(str(folder / "lit"))

    @staticmethod
    def write(folder, crops):
        from litdata.streaming import Cache

        cache = Cache(str(folder / "lit"), chunk_bytes="64MB")
        for number, image in enumerate(crops):
            cache[number] = {"image": encoded(image), "number": number}
        cache.done()
        cache.merge()

    def __len__(self):
        return len(self.set)

    def __getitem__(self, key):
        return int(key[0]), decoded(self.set[int(key[0])]["image"])


MAPS = {"memory map": Memmap, "lance": Lance, "arrow": Arrow, "lmdb": Lmdb, "litdata": LitData}


def crops(source, count):
    images = PreparedStore(source).images
    return (np.array(images[number % len(images)]) for number in range(count))


def loader_of(dataset, rank=0, world=1, start=0, workers=1):
    sampler = FaceSampler([COUNT], seed=1, rank=rank, world=world)
    sampler.start = start
    # Lance's threads do not survive a fork.
    context = "spawn" if isinstance(dataset, Lance) and workers else None
    options = {"num_workers": workers, "multiprocessing_context": context}
    return DataLoader(dataset, BATCH, sampler=sampler, collate_fn=first_of, drop_last=True, **options)


def first_of(items):
    return torch.tensor([number for number, _ in items]), torch.from_numpy(np.stack([image for _, image in items]))


def rate(loader, batches):
    iterator = iter(loader)
    next(iterator)
    start = time.perf_counter()
    count = sum(len(batch[0]) for _, batch in zip(range(batches), iterator, strict=False))
    return count / (time.perf_counter() - start)


def drop_caches():
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return False
    return True


def access(dataset, order):
    start = time.perf_counter()
    for position in order:
        dataset[(int(position), 0)]
    return len(order) / (time.perf_counter() - start)


def resume_of(dataset):
    """Return the seconds to the first batch after half an epoch, and True if it is that of an uninterrupted epoch."""
    half = COUNT // 2 // BATCH
    whole = list(FaceSampler([COUNT], seed=1))
    start = time.perf_counter()
    numbers, _ = next(iter(loader_of(dataset, start=half * BATCH)))
    seconds = time.perf_counter() - start
    return seconds, numbers.tolist() == [position for position, _ in whole[half * BATCH : (half + 1) * BATCH]]


def lit_loader(folder):
    """Return litdata's own loader: streamed and shuffled."""
    import litdata

    dataset = litdata.StreamingDataset(str(folder / "lit"), shuffle=True, seed=1, drop_last=True)
    return litdata.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=1, collate_fn=lit_items)


def lit_items(items):
    return first_of([(item["number"], decoded(item["image"])) for item in items])


def lit_resume(folder):
    half = COUNT // 2 // BATCH
    loader = lit_loader(folder)
    state = None
    for number, batch in enumerate(loader):
        if number == half - 1:
            state = loader.state_dict()
        if number == half:
            expected = batch[0]
            break
    again = lit_loader(folder)
    again.load_state_dict(state)
    start = time.perf_counter()
    resumed = next(iter(again))[0]
    return time.perf_counter() - start, resumed.tolist() == expected.tolist()


def web_write(folder, images):
    import webdataset

    (folder / "web").mkdir()
    with webdataset.ShardWriter(str(folder / "web" / "%05d.tar"), maxsize=64e6, verbose=0) as writer:
        for number, image in enumerate(images):
            writer.write({"__key__": f"{number:08d}", "jpg": encoded(image)})


def web_loader(folder, seed=1):
    import webdataset

    shards = sorted(str(path) for path in (folder / "web").glob("*.tar"))
    dataset = webdataset.WebDataset(shards, shardshuffle=len(shards), seed=seed).shuffle(1000, seed=seed)
    return DataLoader(dataset.map(web_item).batched(BATCH, collation_fn=first_of), batch_size=None, num_workers=1)


def web_item(item):
    return int(item["__key__"]), decoded(item["jpg"])


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def on_rank(rank, name, folder):
    """Read half an epoch at most as one of two ranks, and print the images per second."""
    torch.set_num_threads(1)
    print(rate(loader_of(MAPS[name](Path(folder)), rank, 2), 150))


def two_ranks(name, folder):
    command = [sys.executable, __file__, SOURCE, str(TARGET), str(COUNT)]
    ranks = [
        subprocess.Popen([*command, str(rank), name, str(folder)], stdout=subprocess.PIPE, text=True) for rank in (0, 1)
    ]
    return sum(float(rank.communicate()[0].split()[-1]) for rank in ranks)


def main():
    results = {}
    order = np.random.default_rng(0).permutation(COUNT)
    for name, kind in {**MAPS, "webdataset": None, "litdata, streamed": None}.items():
        folder = TARGET / {"litdata, streamed": "litdata"}.get(name, name).replace(" ", "_")
        result = results[name] = {}
        if not folder.is_dir():
            folder.mkdir(parents=True)
            start = time.perf_counter()
            (web_write if kind is None else kind.write)(folder, crops(SOURCE, COUNT))
            result["written/s"] = COUNT / (time.perf_counter() - start)
        result["GB"] = size_of(folder)
        if kind is not None:
            if drop_caches():
                result["random/s, cold"] = access(kind(folder), order[-2000:])
            access(kind(folder), order[:2000])
            result["random/s"] = access(kind(folder), order[:4000])
            result["loader/s"] = rate(loader_of(kind(folder)), 200)
            result["two ranks/s"] = two_ranks(name, folder)
            result["resume s"], result["resume exact"] = resume_of(kind(folder))
        elif name == "webdataset":
            result["loader/s"] = rate(web_loader(folder), 200)
            start = time.perf_counter()
            half = COUNT // 2 // BATCH
            for number, _ in enumerate(web_loader(folder)):  # there is no state: read up to the place
                if number == half:
                    break
            result["resume s"] = time.perf_counter() - start
        else:
            result["loader/s"] = rate(lit_loader(folder), 200)
            result["resume s"], result["resume exact"] = lit_resume(folder)
        print(name, json.dumps(result), flush=True)
    (TARGET / "results.json").write_text(json.dumps(results, indent=2))


SOURCE, TARGET, COUNT = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

if __name__ == "__main__":
    if len(sys.argv) > 4:
        on_rank(int(sys.argv[4]), sys.argv[5], sys.argv[6])
    else:
        main()
