"""How many questions a second does `rim serve` answer, how long do they wait, and does its memory stay flat?

    python benchmarks/service_load.py --requests 10000 --clients 8
    python benchmarks/service_load.py --requests 10000 --clients 8 --aligned

Starts the service on a free port of this machine with a log and a new gallery, and asks as fast as it answers: of ten
questions six verify, two search, one enrolls and one forgets. The pictures are a portrait of docs/example and a probe
of 16 px made of it; --aligned sends aligned faces, which need no search for faces. In the end the service is killed
while it works: every answer that arrived must be in the log, and in the gallery.
"""

import argparse
import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from rim_lightning.functional.pixels import to_pixels
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.recognizer import Recognizer

PORTRAIT = Path(__file__).parents[1] / "docs" / "example" / "astronaut.png"
SHARE = 0.13  # of the portrait that is left of the probe
LAST = 200  # questions before the kill
KINDS = ("verify", "identify", "verify", "enroll", "verify", "verify", "identify", "verify", "forget", "verify")


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def pictures(aligned):
    """Return the files of the probe and of the portrait."""
    with Image.open(PORTRAIT) as opened:
        portrait = opened.convert("RGB")
    if aligned:
        (face,) = Recognizer.from_checkpoint().align(portrait)
        portrait = Image.fromarray(to_pixels(face.pixels))
        return png(portrait.resize((16, 16), Image.Resampling.BICUBIC)), png(portrait)
    small = [round(side * SHARE) for side in portrait.size]
    return png(portrait.resize(small, Image.Resampling.BICUBIC)), png(portrait)


class Service:
    """The service in a process of its own."""

    def __init__(self, folder):
        self.log, self.gallery = folder / "log.jsonl", folder / "known"
        command = [sys.executable, "-m", "rim_lightning", "serve", "--port", "0", "--index", self.gallery]
        start = time.perf_counter()
        self.process = subprocess.Popen([*map(str, command), "--log", str(self.log)], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[1]
        print(f"started in {time.perf_counter() - start:.1f} s", file=sys.stderr)

    def memory(self):
        """Return the memory of the process in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024


class Client:
    """Asks questions one after another."""

    def __init__(self, service, sent, aligned):
        self._service, (self._probe, self._portrait) = service, sent
        self._data = {"aligned": "true"} if aligned else {}
        self._local = threading.local()
        self.failures = []

    def ask(self, number):
        """Ask a question; return its kind, the seconds until its answer, and the answer."""
        if not hasattr(self._local, "http"):
            self._local.http = httpx.Client(base_url=self._service.address, timeout=300)
        kind, person = KINDS[number % len(KINDS)], f"person {number // len(KINDS)}"
        probe, portrait = ("probe", ("p.png", self._probe)), ("gallery", ("g.png", self._portrait))
        start = time.perf_counter()
        if kind == "forget":
            answer = self._local.http.delete(f"/v1/people/{person}")
        elif kind == "enroll":
            files = [("picture", portrait[1])]
            answer = self._local.http.post(f"/v1/people/{person}", files=files, data=self._data)
        elif kind == "identify":
            answer = self._local.http.post("/v1/identify", files=[probe], data=self._data)
        else:
            answer = self._local.http.post("/v1/verify", files=[probe, portrait], data=self._data)
        seconds = time.perf_counter() - start
        early = kind == "forget" and answer.status_code == 404  # another client's enrollment was slower
        if answer.status_code != 200 and not early:
            self.failures.append((kind, answer.status_code, answer.text[:200]))
        return kind, seconds, answer


def load(service, client, requests, clients):
    """Ask all questions; print rates, waits and memory."""
    memory, waits = [service.memory()], {kind: [] for kind in KINDS}
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for number, (kind, seconds, _) in enumerate(pool.map(client.ask, range(requests)), start=1):
            waits[kind].append(seconds)
            if number % max(1, requests // 10) == 0:
                memory.append(service.memory())
                print(f"{number} answers, {memory[-1]} MiB", file=sys.stderr)
    seconds = time.perf_counter() - start
    print(
        f"{requests} questions of {clients} clients: {requests / seconds:.1f} a second, {len(client.failures)} failed"
    )
    for kind, found in waits.items():
        half, most = 1000 * np.percentile(found, [50, 99])
        print(f"{kind}: {half:.0f} ms, 99 % within {most:.0f} ms")
    print(f"memory in MiB at the start and after each tenth: {memory}")
    for failure in client.failures[:5]:
        print(failure)


def kill(service, client):
    """Kill the service while it works; count the answers that it has lost."""
    answered = []

    def enroll(number):
        try:
            _, _, answer = client.ask(len(KINDS) * (10**6 + number) + KINDS.index("enroll"))
        except httpx.HTTPError:
            return
        if answer.status_code == 200:
            answered.append(answer.json()["person"])

    with ThreadPoolExecutor(4) as pool:
        for number in range(LAST):
            pool.submit(enroll, number)
        while len(answered) < LAST // 4:
            time.sleep(0.01)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        pool.shutdown(cancel_futures=True)
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    logged = {line["answer"].get("person") for line in lines if "answer" in line}  # others are of what was begun
    enrolled = Gallery(service.gallery, None).people()
    lost = [person for person in answered if person not in logged or person not in enrolled]
    print(f"killed after {len(answered)} more enrollments: {len(lost)} lost")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--aligned", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder))
        client = Client(service, pictures(options.aligned), options.aligned)
        try:
            load(service, client, options.requests, options.clients)
            kill(service, client)
        finally:
            service.process.kill()


if __name__ == "__main__":
    main()
