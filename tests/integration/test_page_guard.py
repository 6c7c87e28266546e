"""Attacks on the page: on its routes, its files and its limits, and what is left on the disk after its end."""

import base64
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from PIL import Image

from rim_lightning.commands.page_guard import MAX_FILE, ROUTES
from rim_lightning.commands.page_start import LOADING
from tests.helpers.pages import (
    UPLOADED,
    ask,
    functions,
    running_page,
    served_page,
    uploaded,
    visitor,
    write_small_model,
)

PORTRAIT = Path(__file__).parents[2] / "docs" / "example" / "portrait.png"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Gradio and pandas warn each other
REFUSED_FILE = (403, "The page has stored no such file: give the picture again.\n")
CLOSED = (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError)  # the server left the rest unread


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A page without a model."""
    pytest.importorskip("gradio")
    with served_page(tmp_path_factory.mktemp("served")) as page:
        yield page


@pytest.fixture
def client(served):
    with visitor(served.address) as client:
        yield client


def picture(width=60, height=60):
    content = io.BytesIO()
    Image.new("1", (width, height)).save(content, "PNG")
    return content.getvalue()


def gradio_routes(routes):
    """Every route of an application, with a value for its parameters."""
    for route in routes:
        inner = getattr(route, "app", None) or getattr(route, "original_router", None)
        if hasattr(inner, "routes"):  # mounted or included
            yield from gradio_routes(inner.routes)
        else:
            path = re.sub(r"\{\w+(:path)?\}", "x", route.path)
            yield from ((method, path) for method in getattr(route, "methods", None) or {"GET"})


def test_every_route_is_guarded(served, client):
    routes = set(gradio_routes(served.blocks.routes))
    assert len(routes) > 60
    beside = set()
    with httpx.Client(base_url=served.base) as stranger:
        for method, path in sorted(routes):
            host = {"host": f"evil.example:{served.base.rpartition(':')[2]}"}
            cookie = {"cookie": f"rim_page_{served.base.rpartition(':')[2]}=wrong"}
            for asked, headers in (
                *((stranger, {}), (stranger, cookie), (client, host), (client, {"origin": "http://evil.example"})),
                (client, host | {"origin": f"http://{host['host']}"}),
            ):
                answer = asked.request(method, path, headers=headers)
                assert answer.status_code == 403, (method, path, headers)
                assert not [name for name in answer.headers if name.startswith("access-control")]
            if not (method in ROUTES and ROUTES[method].fullmatch(path)):
                assert client.request(method, path).status_code == 404, (method, path)
                beside.add(path)
    assert {"/gradio_api/run/x", "/gradio_api/proxy=x", "/gradio_api/component_server", "/monitoring"} <= beside


def test_the_page_permits_no_other_site(served, client):
    for origin in (served.base, None):
        answer = client.get("/", headers={"origin": origin} if origin else {})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_question_reads_uploads_only(served, client, tmp_path):
    path = uploaded(client, picture())
    assert re.fullmatch(r"[0-9a-f]{32}\.png", Path(path).name)
    assert Path(path).is_relative_to(served.folder)
    existing = tmp_path / "face.png"
    existing.write_bytes(picture())
    (served.folder / "face.png").write_bytes(picture())
    answered = served.page.answers
    asked = set()
    for function in functions(client):
        for foreign in (existing, tmp_path / "missing.png", served.folder / "face.png", "http://example.com/face.png"):
            for item in ({"path": str(foreign)}, {"path": str(foreign), "meta": UPLOADED}):
                assert ask(client, function["id"], [item] * len(function["inputs"])) == REFUSED_FILE
                asked.add(function["api_name"])
    assert len(asked) == 19
    assert served.page.answers == answered
    for kind in ({}, {"meta": UPLOADED}):
        status, message = ask(client, click(client, 5), [{"path": path} | kind] * 2 + [0.001, None, None])
        assert status == 200
        assert f"verify {path}" in message


def click(client, inputs):
    """Number of the function behind a button, by the number of its inputs: 5 verify, 4 search or reduce, 2 clip."""
    return next(
        function["id"]
        for function in functions(client)
        if len(function["inputs"]) == inputs and function["targets"][0][1] == "click" and not is_report(function)
    )


def is_report(function):
    return function["api_name"].startswith("report")


def report_of(client):
    """Number of the function behind the first button for a report."""
    return next(function["id"] for function in functions(client) if is_report(function))


def test_a_report_is_of_the_answer_in_this_window(served, client):
    """What a request says that was asked does not count: the page remembers it."""
    answered, item = served.page.answers, {"path": uploaded(client, picture()), "meta": UPLOADED}
    report = report_of(client)
    for asked in (None, "/etc/passwd", ["/etc/passwd", None, 0.001], {"probe": "/etc/passwd"}, item):
        status, message = ask(client, report, [asked, "Ana Lang"])
        assert status == 200
        assert "Ask first: a report is of an answer." in message
    assert served.page.answers == answered
    assert ask(client, click(client, 5), [item] * 2 + [0.001, None, None], "mine")[0] == 200
    content = f"{item['path']} Ana Lang"  # see CountingPage.report
    link = f"data:text/html;base64,{base64.b64encode(content.encode()).decode()}"
    assert link in ask(client, report, ["/etc/passwd", "Ana Lang"], "mine")[1]
    assert "Ask first" in ask(client, report, [None, ""], "another")[1]


def test_only_stored_files_are_shown(served, client, tmp_path):
    content = picture()
    path = uploaded(client, content)
    assert client.get(f"/gradio_api/file={path}").content == content
    (tmp_path / "face.png").write_bytes(content)
    for foreign in (tmp_path / "face.png", tmp_path / "missing.png", f"{served.folder}/../face.png", "/etc/passwd"):
        answer = client.get(f"/gradio_api/file={foreign}")
        assert (answer.status_code, answer.text) == REFUSED_FILE


def test_a_thousand_files_are_refused(served, client):
    before = list(served.folder.iterdir())
    answer = client.post("/gradio_api/upload", files=[("files", (f"{n}.png", b"x" * 1000)) for n in range(1000)])
    assert (answer.status_code, answer.text) == (413, "The upload has 1000 parts: give one picture at a time.\n")
    assert list(served.folder.iterdir()) == before


def chunks(size):
    """Zeros, without their number."""
    for _ in range(size // 2**16 + 1):
        yield b"\0" * 2**16


@pytest.mark.parametrize("counted", [True, False], ids=["content-length", "chunked"])
def test_too_many_bytes_are_refused(served, client, counted):
    before = list(served.folder.iterdir())
    for path, kind, size in (
        ("/gradio_api/upload", "multipart/form-data; boundary=cut", MAX_FILE + 2**16),
        ("/gradio_api/queue/join", "application/json", 2**20 + 1),
    ):
        content = b"".join(chunks(size)) if counted else chunks(size)
        try:
            answer = client.post(path, content=content, headers={"content-type": kind})
            assert answer.status_code == 413
        except CLOSED:
            pass
    assert list(served.folder.iterdir()) == before
    assert client.get("/").status_code == 200


def test_too_many_pixels_are_refused(client):
    answer = client.post("/gradio_api/upload", files={"files": ("face.png", picture(10_000, 10_000))})
    assert (answer.status_code, answer.text) == (
        413,
        "The picture has 10,000 x 10,000 pixels in a file of 12,215 bytes, as no camera writes it: save it anew as "
        "JPEG or PNG.\n",
    )


@pytest.fixture
def terminal(capfd, caplog):
    """What the page prints: a function that returns it, with the lines of its log."""

    def printed():
        output = capfd.readouterr()
        return output.out + output.err + "\n".join(record.getMessage() for record in caplog.records)

    printed()
    return printed


def test_questions_that_cannot_be_answered_leave_no_trace(served, client, terminal):
    item = {"path": uploaded(client, picture()), "meta": UPLOADED}
    count = 0
    for function in functions(client):
        inputs = len(function["inputs"])
        for value in (
            None,
            "a",
            -1,
            10**18,
            1.5,
            [],
            {},
            [[0]],
            {"a": 1},
            item,
            [item],
            {"path": item["path"], "meta": 1},
        ):
            shapes = [[value] * inputs, [value] * (inputs + 1), *([[]] if value is None else [])]
            for data in shapes:
                status, message = ask(client, function["id"], data)
                assert status == 200
                failed = json.loads(message.removeprefix("data: "))
                assert failed["success"] or len(failed["output"]["error"]) > 10, (function["id"], data, message)
                count += 1
    assert count > 450
    assert "Traceback" not in terminal()
    status, message = ask(client, click(client, 5), [item] * 2 + [0.001, None, None])
    assert f"verify {item['path']}" in message


def test_what_no_page_sends_leaves_no_trace(served, client, terminal):
    for session in ("abc", "a" * 65, "%ff", "%ed%a0%80", "%00", "", "a" * 9000):
        for path in ("queue/data?session_hash=", "upload_progress?upload_id=", "heartbeat/", "cancel?a=", "app_id?a="):
            with client.stream("GET", f"/gradio_api/{path}{session}") as answer:
                assert answer.status_code != 500
                next(answer.iter_bytes(), b"")
    for path in ("static/%00", "static/..%2f..", "assets/" + "a" * 200, "static/" + "a/" * 100, "static/" + "a" * 5000):
        assert client.get(f"/{path}").status_code in (403, 404)
    for clicked in (None, 1, "a", {}, {"index": 1}, {"index": [None, "a"]}, {"index": [10**18] * 2, "value": {}}):
        for function in functions(client):
            for trigger in (None, 9999):
                body = {"data": [None] * len(function["inputs"]), "fn_index": function["id"], "session_hash": "abc"}
                answer = client.post(
                    "/gradio_api/queue/join", json=body | {"event_data": clicked, "trigger_id": trigger}
                )
                assert answer.status_code in (200, 503)  # twenty wait
    with client.stream("GET", "/gradio_api/queue/data?session_hash=abc") as answer:
        assert [line for line in answer.iter_lines() if "process_completed" in line]
    assert "Traceback" not in terminal()


def test_forty_questions_at_once_are_answered_one_by_one(served):
    with visitor(served.address) as client:
        item = {"path": uploaded(client, picture()), "meta": UPLOADED}
        places = [(len(function["inputs"]), function["targets"][0][1]) for function in functions(client)]
        asked = [
            function
            for function, place in zip(functions(client), places, strict=True)
            if place[1] in ("click", "change") and not is_report(function)  # there is no answer to report
        ]
    search = next(function["id"] for function in asked if len(function["inputs"]) == 4)
    by_number = {1: [item], 2: [item, 0.001], 5: [item, item, 0.001, None, None], 4: [item, 8, 0.001, None]}
    answered = served.page.answers

    def visit(number):
        function = asked[number % len(asked)]
        data = [item, 0.001, 5, None] if function["id"] == search else by_number[len(function["inputs"])]
        return ask(clients[number], function["id"], data)

    with ExitStack() as stack, ThreadPoolExecutor(40) as pool:
        clients = [stack.enter_context(visitor(served.address)) for _ in range(40)]
        statuses = [status for status, _ in pool.map(visit, range(40))]
    assert set(statuses) == {200, 503}
    assert 0 < statuses.count(200) <= served.page.answers - answered  # how many of the 40 depends on the machine
    assert served.page.most_at_once == 1
    with visitor(served.address) as client:
        data = [{"path": item["path"]}] * 2 + [0.001, None, None]
        assert f"verify {item['path']}" in ask(client, click(client, 5), data)[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model."""
    folder = tmp_path_factory.mktemp("model")
    write_small_model(folder / "model")
    return folder / "model"


def folders(temporary):
    return sorted(temporary.glob("*rim_page_*"))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL"])
def test_nothing_is_left_after_the_end(model, tmp_path, name):
    content = PORTRAIT.read_bytes()
    with running_page("--demo", "-m", model, temporary=tmp_path) as page:
        with visitor(page.address) as client:
            item = {"path": uploaded(client, content), "meta": UPLOADED}
            status, message = ask(client, click(client, 5), [item, item, 0.01, None, None], "mine")
            if name == "SIGTERM":
                assert "Save report.html" in ask(client, report_of(client), [None, ""], "mine")[1]
        assert status == 200
        assert ", threshold " in message
        (folder,) = folders(tmp_path)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        stored = [file for file in folder.rglob("*.*") if file.parent != folder]
        assert len(stored) == 1  # the upload; pictures and reports are in the answers
        with visitor(page.address) as client, client.stream("GET", "/gradio_api/heartbeat/x") as stream:
            next(stream.iter_bytes())  # a window that stays open
            page.process.send_signal(getattr(signal, name))
            if name == "SIGHUP":
                page.process.send_signal(signal.SIGTERM)  # as some services do
            code = page.process.wait(timeout=60)
        log = page.log.read_text()
    assert "Traceback" not in log
    if name == "SIGKILL":
        assert folders(tmp_path) == [folder]
        with running_page("--demo", "-m", model, temporary=tmp_path):
            assert len(folders(tmp_path)) == 1
            assert not folder.exists()
    else:
        assert code == {"SIGTERM": 143, "SIGHUP": 129, "SIGINT": 0}[name]
        assert (f"ended by {name}; the uploads are removed." in log) == (name != "SIGINT")
    assert not list(tmp_path.iterdir())


def test_the_address_says_that_the_page_is_loading(model, tmp_path):
    """It is printed at once; whoever opens it early sees the page as soon as it is there."""
    command = [sys.executable, "-m", "rim_lightning.commands.rim.main", "page", "--port", "0", "--demo", "-m", model]
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}, **kept) as process:
        try:
            announced = re.search(r"It will be at (http://\S+)", process.stderr.readline())[1]
            with visitor(announced) as client:
                assert client.get("/").content == LOADING
                assert client.post("/gradio_api/queue/join", json={}).status_code == 400
                assert httpx.get(announced.partition("?")[0]).status_code == 403  # the guard stands there already
                assert process.stdout.readline() == f"Page: {announced}   (Ctrl+C ends it)\n"
                assert len(functions(client)) > 10
        finally:
            process.terminate()
            log = process.communicate(timeout=60)[1]
    assert (process.returncode, log) == (143, "rim: ended by SIGTERM; the uploads are removed.\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("SIGTERM", 0), ("SIGTERM", 0.6), ("SIGTERM", 2), ("SIGHUP", 0.2), ("SIGINT", 0), ("SIGINT", 1)],
)
def test_a_signal_ends_the_start(model, tmp_path, name, seconds):
    """Some moments of it; benchmarks/page_attack.py tries more."""
    command = [sys.executable, "-m", "rim_lightning.commands.rim.main", "page", "--port", "0", "--demo", "-m", model]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    try:
        while not folders(tmp_path):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(seconds)
        process.send_signal(getattr(signal, name))
        time.sleep(0.05)
        process.send_signal(getattr(signal, name))  # somebody is impatient
        log = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode in {"SIGTERM": (143,), "SIGHUP": (129,), "SIGINT": (130, 0)}[name]  # 0 once it answers
    assert "Traceback" not in log
    assert not list(tmp_path.iterdir())
