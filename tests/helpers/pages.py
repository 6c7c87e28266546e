"""Pages that run: `rim page` in a process of its own, and a page that answers without a model."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import httpx
import numpy as np
import torch

from rim_lightning.commands.page import FoundFaces
from rim_lightning.commands.page_cards import PageAnswer
from rim_lightning.commands.page_report import PageQuestion
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.model_folder import write_model
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import MODEL, perturbed

UPLOADED = {"_type": "gradio.FileData"}


def write_small_model(folder: Path) -> None:
    """Write an untrained model with thresholds."""
    torch.manual_seed(0)
    thresholds = np.array([[0.2, 0.3, np.nan], [-1.0, -1.0, np.nan]]).reshape(1, 1, 2, 3)
    frrs = np.where(np.isnan(thresholds), np.nan, 0.25)
    calibration = Calibration("synthetic", "0", 3, 6, 60, (1,), (7, 40), (1e-2, 1e-3, 1e-4), thresholds, frrs, True)
    write_model(folder, perturbed(RIM(**MODEL)).eval(), calibration, {}, onnx=False)


class RunningPage(NamedTuple):
    """A page, its address with the token, and its output."""

    process: subprocess.Popen
    address: str
    log: Path


@contextmanager
def running_page(*arguments: object, temporary: Path | None = None) -> Iterator[RunningPage]:
    """Run `rim page` on a free port; `temporary` is the folder for its temporary files."""
    command = [sys.executable, "-m", "rim_lightning.commands.rim.main", "page", "--port", "0", *map(str, arguments)]
    environment = {**os.environ, **({"TMPDIR": str(temporary)} if temporary else {})}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with open(log, "w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            yield RunningPage(process, _printed_address(process, log), log)
        finally:
            process.terminate()
            process.wait()


def _printed_address(process: subprocess.Popen, log: Path) -> str:
    for _ in range(900):
        if found := re.search(r"Page: (\S+)", log.read_text()):
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise AssertionError(f"no page after three minutes: {log.read_text()}")


class CountingPage:
    """Answers of the page without a model. It counts how many questions it works on at once."""

    recognizer = SimpleNamespace(rim=SimpleNamespace(hr_size=32, lr_size=8))
    gallery = "a gallery"
    fars = (1e-2, 1e-3)
    far = 1e-3
    reports = "reports"

    def __init__(self) -> None:
        self.at_once = self.most_at_once = self.answers = 0
        self.lock = threading.Lock()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.02)
        try:
            yield
        finally:
            with self.lock:
                self.at_once -= 1
                self.answers += 1

    def faces(self, picture: str | None, name: str) -> FoundFaces:
        """Find no faces."""
        with self._counted():
            return FoundFaces("", None)

    def _tell(self, *asked: Any) -> PageAnswer:
        """Tell what was asked."""
        with self._counted():
            return PageAnswer([f"{asked[0]} {asked[1]}"])

    verify = partialmethod(_tell, "verify")
    search = partialmethod(_tell, "search")
    reduce = partialmethod(_tell, "reduce")
    clip = partialmethod(_tell, "clip")

    def question(self, *asked: Any) -> PageQuestion:
        """Return the question for a report."""
        return PageQuestion(*asked)

    def report(self, asked: PageQuestion, reviewers: str) -> dict[str, bytes]:
        """Report what was asked."""
        with self._counted():
            return {"report.html": f"{asked.probe} {reviewers}".encode()}


class ServedPage(NamedTuple):
    """A page in this process, the folder of its files, its address and the one with its token."""

    page: CountingPage
    folder: Path
    base: str
    address: str
    blocks: Any


@contextmanager
def served_page(folder: Path) -> Iterator[ServedPage]:
    """Serve a `CountingPage` behind its guard, as `rim page` does."""
    import uvicorn

    with mock.patch.dict(os.environ, {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}):
        from rim_lightning.commands.page_guard import PageGuard
        from rim_lightning.commands.page_tabs import build_app

        page, token = CountingPage(), secrets.token_urlsafe(8)
        app = build_app(page)
        with socket.create_server(("127.0.0.1", 0)) as connection:
            port = connection.getsockname()[1]
            guard = PageGuard(app, folder, token, port, app.state.questions)
            server = uvicorn.Server(uvicorn.Config(guard, ws="none", log_level="critical", proxy_headers=False))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [connection]}, daemon=True)
            thread.start()
            base = f"http://127.0.0.1:{port}"
            try:
                yield ServedPage(page, folder, base, f"{base}/?token={token}", app)
            finally:
                server.should_exit = server.force_exit = True
                thread.join(10)


@contextmanager
def visitor(address: str) -> Iterator[httpx.Client]:
    """Open the address with the token, as a browser does."""
    with httpx.Client(base_url=address.partition("?")[0], timeout=120) as client:
        assert client.get(address).status_code == 200
        yield client


def functions(client: httpx.Client) -> list[dict[str, Any]]:
    """Return what the page can be asked, with the numbers of the functions."""
    settings = re.search(r"window\.gradio_config = (\{.*?\});</script>", client.get("/").text, re.DOTALL)
    return json.loads(settings[1])["dependencies"]


def uploaded(client: httpx.Client, content: bytes) -> str:
    """Upload a picture and return its path."""
    answer = client.post("/gradio_api/upload", files={"files": ("face.png", content)})
    assert answer.status_code == 200, answer.text
    return answer.json()[0]


def ask(client: httpx.Client, function: int, data: list[Any], session: str | None = None) -> tuple[int, str]:
    """Ask a question; return the status and the text of the refusal or of the last message."""
    session = session or secrets.token_hex(5)
    body = {"data": data, "fn_index": function, "session_hash": session, "event_data": None, "trigger_id": None}
    joined = client.post("/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return joined.status_code, joined.text
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        if stream.status_code != 200:
            return stream.status_code, stream.read().decode()
        completed = [line for line in stream.iter_lines() if "process_completed" in line]
    return 200, completed[-1]
