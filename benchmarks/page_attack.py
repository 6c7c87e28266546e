"""Does the page hold? Starts `rim page` with the shipped model, attacks every route, and prints what held.

    python benchmarks/page_attack.py --requests 2000

Every row of the table is one attack: how often it was tried, and how often the page held. The last lines are the memory
of the server before and after many questions, and what is left on the disk after its end.
"""

import argparse
import io
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from PIL import Image

EXAMPLE = Path(__file__).parents[1] / "docs" / "example"
COMMAND = [sys.executable, "-m", "rim_lightning.commands.rim.main", "page", "--port", "0"]
META = {"_type": "gradio.FileData"}
FOREIGN = {
    "foreign Host": {"host": "evil.example"},
    "foreign Origin": {"origin": "http://evil.example"},
    "foreign Host and Origin": {"host": "evil.example", "origin": "http://evil.example"},
    "no token": {},
    "wrong token": {"cookie": "rim_page_{port}=wrong"},
}
PLACES = "/ /config /assets/x /static/x /theme.css /gradio_api/ /gradio_api/heartbeat/x /gradio_api/queue/data "
PLACES += "/gradio_api/upload_progress /gradio_api/file=/etc/passwd /gradio_api/info /gradio_api/proxy=x /monitoring "
PLACES += "/gradio_api/upload /gradio_api/queue/join /gradio_api/cancel /gradio_api/run/predict /gradio_api/call/ask "
PLACES += "/gradio_api/component_server /gradio_api/process_recording /gradio_api/startup-events /login /docs"
BESIDE = "run/predict api/predict call/ask call/v2/ask component_server process_recording reset stream/x vibe-edit"


class Page:
    """A running page: its process, the folder of its temporary files, and a visitor with the token."""

    def __init__(self, temporary: Path) -> None:
        environment = os.environ | {"TMPDIR": str(temporary)}
        self.process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True, env=environment)
        self.address = re.search(r"http://\S+", self.process.stdout.readline())[0]
        self.base = self.address.partition("/?")[0]
        self.temporary = temporary
        self.client = self.visitor()
        config = re.compile(r"window\.gradio_config = (\{.*?\});</script>", re.DOTALL)
        while (settings := config.search(self.client.get("/").text)) is None:  # it is loading
            time.sleep(1)
        self.functions = json.loads(settings[1])["dependencies"]
        self.verify = next(function["id"] for function in self.functions if len(function["inputs"]) == 5)

    def visitor(self) -> httpx.Client:
        client = httpx.Client(base_url=self.base, timeout=600)
        client.get(self.address)
        return client

    def memory(self, name: str = "VmRSS") -> int:
        """Memory of the server in MiB: VmRSS now, VmHWM at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status)[1]) // 1024

    def upload(self, content: bytes, client: httpx.Client | None = None) -> httpx.Response:
        return (client or self.client).post("/gradio_api/upload", files={"files": ("face.png", content)})

    def ask(self, function: int, data: list, client: httpx.Client | None = None) -> tuple[int, str]:
        """Ask a question; return the status and the refusal or the last message."""
        client, session = client or self.client, secrets.token_hex(5)
        body = {"data": data, "fn_index": function, "session_hash": session, "event_data": None, "trigger_id": None}
        joined = client.post("/gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            return joined.status_code, joined.text
        with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
            if stream.status_code != 200:
                return stream.status_code, stream.read().decode()
            return 200, [line for line in stream.iter_lines() if "process_completed" in line][-1]

    def question(self, client: httpx.Client | None = None) -> tuple[int, str]:
        """Upload two pictures and compare them."""
        names = ("astronaut.png", "portrait.png")
        uploads = [self.upload((EXAMPLE / name).read_bytes(), client) for name in names]
        if any(upload.status_code != 200 for upload in uploads):
            return 503, ""
        items = [{"path": upload.json()[0], "meta": META} for upload in uploads]
        return self.ask(self.verify, [*items, 0.001, None, None], client)

    def answers(self) -> bool:
        """Report whether the page still answers as it should."""
        status, message = self.question()
        return status == 200 and ", threshold " in message


def foreign_requests(page: Page) -> dict[str, list[bool]]:
    """Ask for every route under a foreign name, from a foreign site, and without the token."""
    outcomes = {}
    for name, headers in FOREIGN.items():
        headers = {key: value.format(port=page.base.rpartition(":")[2]) for key, value in headers.items()}
        client = httpx.Client(base_url=page.base) if name.endswith("token") else page.client
        outcomes[f"23 routes, {name}"] = []
        for path in PLACES.split():
            for method in ("GET", "POST", "OPTIONS"):
                answer = client.request(method, path, headers=headers)
                permits = [header for header in answer.headers if header.startswith("access-control")]
                outcomes[f"23 routes, {name}"].append(answer.status_code == 403 and not permits)
    outcomes["routes beside the page"] = [
        page.client.request(method, f"/gradio_api/{path}", json={"data": []}).status_code == 404
        for path in BESIDE.split()
        for method in ("GET", "POST")
    ]
    return outcomes


def odd_bytes(page: Page) -> dict[str, list[bool]]:
    """Send bytes that are no text without the token, and with it fields and names that no page sends."""
    queries = ["token=%ff%fe", "token=%ed%a0%80", "token=%00", "%ff=1", "token=%c3%a9&token=a", f"token={'a' * 60_000}"]
    with httpx.Client(base_url=page.base) as stranger:
        refused = [stranger.get(f"/?{query}").status_code == 403 for query in queries]
        cookies = (b"\xff\xfe", b"rim_page_%s=\xff" % page.base.rpartition(":")[2].encode())
        refused += [stranger.get("/", headers={b"cookie": cookie}).status_code == 403 for cookie in cookies]
    whole = '{"data": [], "fn_index": 0, "session_hash": "a", "event_data": null, "trigger_id": null'
    fields = [f'"fn_index": {value}' for value in ("9999", "-1", "1e400", "NaN", '"0"', "null")]
    fields += [f'"session_hash": {value}' for value in (r'"\ud800"', '""', "1", f'"{"a" * 5000}"')]
    fields += [f'"data": {value}' for value in ("[NaN]", "[1e400]", "{}", r'["\ud800"]', "[" * 999 + "]" * 999)]
    kind = {"content-type": "application/json"}
    answers = [
        page.client.post("/gradio_api/queue/join", content=f"{whole}, {field}}}", headers=kind) for field in fields
    ]
    names = [
        "/static/" + "a" * 5000,
        "/assets/" + "a" * 5000,
        "/static/%00",
        "/static/%ff",
        "/gradio_api/file=" + "a" * 5000,
    ]
    names += ["/gradio_api/heartbeat/" + "a" * 5000, "/gradio_api/queue/data?session_hash=" + "a" * 60_000]
    return {
        "bytes that are no text, no token": refused,
        "fields that no page sends": [answer.status_code == 400 and answer.text.count("\n") == 1 for answer in answers],
        "names that are too long": [page.client.get(name).status_code in (403, 404, 414) for name in names],
    }


def stalled_requests(page: Page) -> dict[str, list[bool]]:
    """Ask 32 times with a body that never comes; after a minute the page answers again."""
    address = page.base.removeprefix("http://").split(":")
    cookie = "; ".join(f"{name}={value}" for name, value in page.client.cookies.items())
    request = (
        f"GET /config HTTP/1.1\r\nHost: {':'.join(address)}\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with ExitStack() as stack:
        for _ in range(32):
            connection = stack.enter_context(socket.create_connection((address[0], int(address[1]))))
            connection.sendall(request.encode())
        time.sleep(5)
        full = page.client.get("/config").status_code == 503
        time.sleep(65)
        return {"32 requests whose body never comes, then one": [full, page.answers()]}


def foreign_files(page: Page) -> dict[str, list[bool]]:
    """Name files that are not uploads, in questions of every kind and in addresses."""
    (folder,) = page.temporary.glob("rim_page_*")
    places = [EXAMPLE / "probe.png", "/nowhere/face.png", "/etc/passwd", f"{folder}/page.lock", f"{folder}/../x.png"]
    places += ["http://example.com/face.png"]
    answers = [
        page.ask(function["id"], [{"path": str(place)} | more] * len(function["inputs"]))
        for function in page.functions
        for place in places
        for more in ({}, {"meta": META})
    ]
    shown = [page.client.get(f"/gradio_api/file={place}") for place in places if not str(place).endswith("lock")]
    return {
        "a question names a foreign file": [status == 403 and text == answers[0][1] for status, text in answers],
        "an address names a foreign file": [answer.status_code == 403 for answer in shown],
    }


def large_requests(page: Page) -> dict[str, list[bool]]:
    """Send too much: files, bytes with and without their number, pixels."""

    def refused(send: Callable[[], httpx.Response]) -> bool:
        try:
            return send().status_code == 413
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):  # it was closed, the rest unread
            return True

    def zeros():
        for _ in range(22 * 16):
            yield b"\0" * 2**16

    form, as_json = {"content-type": "multipart/form-data; boundary=cut"}, {"content-type": "application/json"}
    many = [("files", (f"{number}.png", b"\0" * 2**14)) for number in range(1000)]
    bomb = io.BytesIO()
    Image.new("1", (20_000, 5000)).save(bomb, "PNG")
    post = page.client.post
    return {
        "1,000 files in one request": [refused(lambda: post("/gradio_api/upload", files=many))],
        "22 MiB in one request": [
            refused(lambda: post("/gradio_api/upload", content=b"".join(zeros()), headers=form)),
            refused(lambda: post("/gradio_api/upload", content=zeros(), headers=form)),  # in chunks, without a length
            refused(lambda: post("/gradio_api/queue/join", content=zeros(), headers=as_json)),
        ],
        "a PNG of 100 million pixels": [refused(lambda: page.upload(bomb.getvalue())) for _ in range(4)],
    }


def forty_at_once(page: Page) -> dict[str, list[bool]]:
    """Ask forty questions at once: each is answered or refused, and the page answers afterwards."""
    visitors = [page.visitor() for _ in range(40)]
    with ThreadPoolExecutor(40) as pool:
        outcomes = list(pool.map(lambda visitor: page.question(visitor), visitors))
    held = [status == 503 or (status == 200 and ", threshold " in message) for status, message in outcomes]
    answered = sum(status == 200 for status, _ in outcomes)
    return {f"40 questions at once ({answered} answered, the others refused)": held, "then one": [page.answers()]}


@contextmanager
def running():
    with tempfile.TemporaryDirectory() as temporary:
        page = Page(Path(temporary))
        try:
            yield page
        finally:
            page.process.kill()
            page.process.wait()


def ends() -> dict[str, list[bool]]:
    """End the page by each signal; see what is left. After SIGKILL the next page removes it."""
    outcomes = {}
    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        with running() as page:
            private = [folder.stat().st_mode & 0o777 == 0o700 for folder in page.temporary.glob("rim_page_*")]
            page.upload((EXAMPLE / "probe.png").read_bytes())
            page.process.send_signal(signum)
            page.process.wait()
            if signum == signal.SIGKILL:
                leftovers = list(page.temporary.glob("rim_page_*"))
                successor = Page(page.temporary)
                gone = len(leftovers) == 1 and not leftovers[0].exists()
                successor.process.terminate()
                successor.process.wait()
            else:
                gone = not list(page.temporary.iterdir())
            outcomes[f"{signum.name}: files are private, then gone"] = [*private, gone]
    return outcomes


def ends_of_the_start() -> dict[str, list[bool]]:
    """Send each signal at ten moments of the start, from when the folder is there: page and folder are gone soon."""
    outcomes = {}
    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        outcomes[f"{signum.name} during the start"] = []
        for seconds in (0, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3):
            with tempfile.TemporaryDirectory() as temporary:
                environment = os.environ | {"TMPDIR": temporary}
                process = subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
                while not list(Path(temporary).glob("rim_page_*")) and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(seconds)
                process.send_signal(signum)
                try:
                    quiet = b"Traceback" not in process.communicate(timeout=20)[1]
                except subprocess.TimeoutExpired:
                    quiet = False
                    process.kill()
                    process.communicate()
                outcomes[f"{signum.name} during the start"].append(quiet and not os.listdir(temporary))
    return outcomes


def report(outcomes: dict[str, list[bool]]) -> None:
    for attack, held in outcomes.items():
        print(f"| {attack} | {len(held)} | {sum(held)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000, help="questions in a row, for the memory")
    count = parser.parse_args().requests
    print("| attack | tried | held |\n|---|---|---|")
    with running() as page:
        report({"the page answers": [page.answers()]})
        for attack in (foreign_requests, odd_bytes, foreign_files, large_requests, forty_at_once, stalled_requests):
            report(attack(page))
        before, start = page.memory(), time.monotonic()
        report({f"{count} questions in a row": [page.answers() for _ in range(count)]})
        seconds = (time.monotonic() - start) / max(count, 1)
        memory = (before, page.memory(), page.memory("VmHWM"))
    report(ends())
    report(ends_of_the_start())
    print(f"\nMemory of the server: {memory[0]} MiB, {memory[1]} MiB after {count} questions, {memory[2]} MiB at most.")
    print(f"A question takes {seconds:.2f} seconds here.")


if __name__ == "__main__":
    main()
