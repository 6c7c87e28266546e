"""The guard in front of the page, around an application that answers everything."""

import asyncio
import errno
import io
import json
import logging
import re

import pytest
from PIL import Image

from rim_lightning.commands import page_guard
from rim_lightning.commands.page_guard import (
    FAILED,
    MAX_FILE,
    MAX_QUESTION,
    MAX_REQUESTS,
    MULTIPART,
    PageGuard,
    refusal_after,
)

TOKEN = "a-secret"
HOST = {"host": "127.0.0.1:7860"}
COOKIE = {"cookie": f"other=1; rim_page_7860={TOKEN}"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=cut"}
JOIN = {"data": [], "fn_index": 0, "session_hash": "abc", "event_data": None, "trigger_id": None}
CANCEL = {"session_hash": "abc", "fn_index": 0, "event_id": "1f"}
SHA = "0" * 64  # an application may name the folder of an upload by its digest
GETS = ["/", "/config", "/theme.css", "/assets/index.js", "/static/a.png", "/gradio_api/heartbeat/abc"]
GETS += ["/gradio_api/queue/data", "/gradio_api/upload_progress"]
POSTS = ["/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/cancel"]
ROUTES = [*(("GET", path) for path in GETS), *(("POST", path) for path in POSTS)]


@pytest.fixture(autouse=True)
def _heard(monkeypatch, caplog):
    """A page that was served in this process has turned uvicorn's loggers down, and away from the root."""
    for name in ("uvicorn", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        caplog.set_level(logging.ERROR, logger=name)


class Everything:
    """An application that answers everything, permits everybody, and notes what it gets."""

    def __init__(self):
        self.requests = []
        self.at_once = self.most_at_once = 0
        self.gate = self.error = None

    async def __call__(self, scope, receive, send):
        body = (await receive()).get("body", b"")
        self.requests.append((scope, body))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await (asyncio.sleep(0.01) if self.gate is None else self.gate.wait())
        self.at_once -= 1
        if self.error:  # as Starlette does it
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"Internal Server Error"})
            raise self.error
        headers = [(b"access-control-allow-origin", b"*"), (b"Access-Control-Allow-Credentials", b"true")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"reached"})


@pytest.fixture
def app():
    return Everything()


@pytest.fixture
def guard(app, tmp_path):
    return PageGuard(app, tmp_path, TOKEN, 7860, questions=3)


class Answer:
    def __init__(self, messages):
        self.status = messages[0]["status"]
        self.headers = dict(messages[0]["headers"])
        self.body = b"".join(message.get("body", b"") for message in messages[1:])


async def asked(guard, method, path, headers, chunks=(b"",), query=b"", scheme="http"):
    """The guard's answer to a request whose body comes in chunks."""
    messages, left = [], list(chunks)

    async def receive():
        await asyncio.sleep(0)
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        messages.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await guard({"type": scheme, "method": method, "path": path, "query_string": query, "headers": raw}, receive, send)
    return Answer(messages) if scheme == "http" else messages


def ask(*arguments, **named):
    return asyncio.run(asked(*arguments, **named))


def form(*contents, boundary=b"cut", name=b"face.png"):
    parts = [
        b"--"
        + boundary
        + b'\r\nContent-Disposition: form-data; name="files"; filename="'
        + name
        + b'"\r\n\r\n'
        + content
        for content in contents
    ]
    return b"\r\n".join([*parts, b"--" + boundary + b"--\r\n"])


def picture(width, height):
    content = io.BytesIO()
    Image.new("1", (width, height)).save(content, "PNG")
    return content.getvalue()


def proper(method, path):
    """Headers and body with which a route is answered."""
    headers = {**HOST, **COOKIE}
    if path == "/gradio_api/upload":
        return headers | FORM, form(picture(9, 9))
    if method == "GET":
        return headers, b""
    return headers | JSON, json.dumps(CANCEL if path == "/gradio_api/cancel" else JOIN).encode()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_request_of_the_page_is_answered(guard, app, method, path):
    headers, body = proper(method, path)
    answer = ask(guard, method, path, headers | {"origin": "http://127.0.0.1:7860"}, [body])
    assert (answer.status, answer.body) == (200, b"reached")
    assert not [name for name in answer.headers if name.lower().startswith(b"access-control")]
    assert answer.headers[b"cache-control"] == b"no-store"
    assert {name for name, _ in app.requests[0][0]["headers"]} <= {b"host", b"content-type", b"content-length"}


FOREIGN = {
    "host": {"host": "evil.example"},
    "host with our port": {"host": "evil.example:7860"},
    "host that begins like ours": {"host": "127.0.0.1.evil.example"},
    "no host": {"host": ""},
    "origin": {"origin": "http://evil.example"},
    "origin of another port": {"origin": "http://127.0.0.1:9999"},
    "origin of another scheme": {"origin": "https://127.0.0.1:7860"},
    "no origin": {"origin": "null"},
    "site": {"sec-fetch-site": "cross-site"},
    "page of another port": {"sec-fetch-site": "same-site"},
    "no token": {"cookie": "other=1"},
    "wrong token": {"cookie": f"rim_page_7860={TOKEN}x"},
    "token of another page": {"cookie": f"rim_page_7861={TOKEN}"},
    "empty token": {"cookie": "rim_page_7860="},
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("OPTIONS", "/config"), ("GET", "/gradio_api/file=/etc/passwd")])
def test_a_foreign_request_is_refused(guard, app, method, path, foreign):
    headers, body = proper(method, path)
    answer = ask(guard, method, path, headers | foreign, [body])
    assert answer.status == 403
    assert not app.requests
    assert b"reached" not in answer.body
    assert not [name for name in answer.headers if name.lower().startswith(b"access-control")]


def test_the_address_with_the_token_gives_the_cookie(guard, app):
    answer = ask(guard, "GET", "/", HOST, query=f"token={TOKEN}".encode())
    assert answer.status == 200
    assert answer.headers[b"set-cookie"] == f"rim_page_7860={TOKEN}; Path=/; HttpOnly; SameSite=Strict".encode()
    assert TOKEN.encode() not in answer.body
    assert not app.requests
    for query in (b"", b"token=", b"token=a", f"token={TOKEN}&token=a".encode(), f"Token={TOKEN}".encode()):
        assert ask(guard, "GET", "/", HOST, query=query).status == 403
    assert ask(guard, "GET", "/config", HOST, query=f"token={TOKEN}".encode()).status == 403
    assert ask(guard, "GET", "/", {"host": "evil.example"}, query=f"token={TOKEN}".encode()).status == 403
    assert ask(guard, "GET", "/", {"host": "localhost:9000", **COOKIE}).status == 200  # an ssh tunnel


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"/gradio_api/{route}") for route in ("run/predict", "call/ask", "component_server", "api/ask", "")),
        *(("GET", path) for path in ("/gradio_api/proxy=http://example.com", "/docs", "/monitoring", "//", "/config/")),
        *((method, "/") for method in ("POST", "HEAD", "OPTIONS", "PUT", "TRACE")),
        ("GET", "/gradio_api/upload"),
        ("GET", "/gradio_api/queue/join"),
    ],
)
def test_there_are_no_other_routes(guard, app, method, path):
    assert ask(guard, method, path, HOST | COOKIE | JSON, [b"{}"]).status == 404
    assert not app.requests


def test_a_header_does_not_stand_twice(guard, app):
    async def send(message):
        assert message.get("status", 400) == 400

    raw = [(b"host", b"127.0.0.1:7860"), (b"Host", b"evil.example"), (b"cookie", COOKIE["cookie"].encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw}
    asyncio.run(guard(scope, None, send))
    assert not app.requests


def test_a_websocket_is_closed(guard, app):
    assert ask(guard, "GET", "/", HOST | COOKIE, scheme="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert not app.requests


def uploaded_name(app):
    return re.search(rb'filename="(.+?)"', app.requests[-1][1])[1].decode()


def test_an_upload_gets_a_random_name(guard, app):
    content = picture(9, 9)
    body = form(content, name=b"../../etc/Anna Smith.PNG")
    assert ask(guard, "POST", "/gradio_api/upload", HOST | COOKIE | FORM, [body[:50], body[50:]]).status == 200
    scope, stored = app.requests[-1]
    assert re.fullmatch(r"[0-9a-f]{32}\.PNG", uploaded_name(app))
    boundary = re.search(rb"boundary=(\w+)", dict(scope["headers"])[b"content-type"])[1]
    assert boundary != b"cut"
    assert stored == form(content, boundary=boundary, name=uploaded_name(app).encode())
    assert dict(scope["headers"])[b"content-length"] == str(len(stored)).encode()


def question(guard, path):
    item = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({**JOIN, "data": [[{"deep": item}]]}).encode()
    return ask(guard, "POST", "/gradio_api/queue/join", HOST | COOKIE | JSON, [body])


def test_a_question_names_uploads_only(guard, app, tmp_path):
    ask(guard, "POST", "/gradio_api/upload", HOST | COOKIE | FORM, [form(picture(9, 9))])
    name = uploaded_name(app)
    assert question(guard, f"{tmp_path}/{SHA}/{name}").status == 200
    assert json.loads(app.requests[-1][1])["data"][0][0]["deep"]["path"] == f"{tmp_path}/{SHA}/{name}"

    (tmp_path / SHA).mkdir()
    (tmp_path / SHA / "result.png").write_bytes(picture(9, 9))  # of the application, which no question may name
    reached, answers = len(app.requests), set()
    for path in (
        *("/etc/passwd", "/etc/no_such_file", f"{tmp_path}/{SHA}/result.png", f"{tmp_path}/{SHA}/no_such_result.png"),
        *(f"/elsewhere/{SHA}/{name}", f"{tmp_path}/{name}", f"{tmp_path}/{SHA}/../{SHA}/{name}", name),
        *(f"{tmp_path}/../{name}", f"{tmp_path}/{SHA}/x/{name}", f"{tmp_path}//{SHA}/{name}", ""),
        *("http://example.com/face.png", f"file://{tmp_path}/{SHA}/{name}", f"{tmp_path}/{SHA}/{name}\0", None, 3, []),
    ):
        answer = question(guard, path)
        answers.add((answer.status, answer.body))
    assert answers == {(403, b"The page has stored no such file: give the picture again.\n")}
    assert len(app.requests) == reached


def joined(guard, body, path="/gradio_api/queue/join"):
    return ask(guard, "POST", path, HOST | COOKIE | JSON, [body])


def test_the_application_reads_what_was_checked(guard, app):
    twice = json.dumps({**JOIN, "data": []})[:-1].encode() + b', "data": [{"path": "/etc/passwd", "path": "x"}]}'
    assert joined(guard, twice).status == 403
    assert joined(guard, json.dumps({**JOIN, "event_data": {"path": "/etc/passwd"}}).encode()).status == 403
    assert not app.requests
    assert joined(guard, json.dumps(JOIN)[:-1].encode() + b', "data": [2.50]}').status == 200
    assert app.requests[-1][1] == json.dumps({**JOIN, "data": [2.5]}).encode()


DAMAGED = [b"", b"{", b"[" * 100_000, b"\xff", b"9" * 5000, b"{}", b"[]", b"null", "{}".encode("utf-16")]
UNUSABLE = {
    "fn_index": '-1 3 9999 1e400 -1e400 NaN Infinity 1.5 111111111111111111111 "0" true null',
    "session_hash": rf'"\ud800" "a\u0000" "a\n" "é" "" "{"a" * 65}" 1 null []',
    "data": r'null {} "a" [NaN] [1e400] [111111111111111111111] ["\udfff"] [{"\ud800":1}] '
    f"[{'0,' * 20}0] {'[' * 100}{']' * 100}",
    "event_data": r'NaN {"index":[1e999,0]} "\ud800"',
    "trigger_id": '-1 1e9 "a" 111111111111111111111',
    "event_id": rf'"\ud800" "{"a" * 65}" "/" null',
    "oauth_token": '"x"',
    "batched": "true",
}


@pytest.mark.parametrize("body", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/cancel"])
def test_a_damaged_question_is_refused(guard, app, body, path):
    assert joined(guard, body, path).status == 400
    assert not app.requests


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/cancel"])
def test_a_question_has_no_other_fields_and_values(guard, app, path, name):
    _, whole = proper("POST", path)
    for value in UNUSABLE[name].split():
        body = whole[:-1] + f', "{name}": {value}}}'.encode()
        answer = joined(guard, body, path)
        assert (answer.status, answer.body.count(b"\n")) == (400, 1), body
    assert not app.requests


def test_a_question_is_json(guard, app):
    for kind in ("text/plain", "multipart/form-data; boundary=cut", "application/x-www-form-urlencoded", ""):
        answer = ask(guard, "POST", "/gradio_api/queue/join", HOST | COOKIE | {"content-type": kind}, [b"{}"])
        assert answer.status == 415
    assert not app.requests


@pytest.mark.parametrize("reported", [True, False], ids=["content-length", "chunked"])
@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("GET", "/", 0),
        ("POST", "/gradio_api/queue/join", MAX_QUESTION),
        ("POST", "/gradio_api/upload", MAX_FILE + MULTIPART),
    ],
)
def test_too_many_bytes_are_refused(guard, app, method, path, limit, reported):
    headers, _ = proper(method, path)
    chunks = [b"\0" * 2**20] * (limit // 2**20) + [b"\0" * (limit % 2**20), b"\0"]
    headers |= {"content-length": str(limit + 1)} if reported else {"transfer-encoding": "chunked"}
    assert ask(guard, method, path, headers, [] if reported else chunks).status == 413  # by the header, unread
    assert not app.requests


def test_a_length_is_a_number(guard, app):
    for length in ("-1", "1e3", "٣", "9" * 5000):
        raw = [(b"host", b"127.0.0.1:7860"), (b"cookie", COOKIE["cookie"].encode())]
        raw += [(b"content-length", length.encode())]
        messages = []

        async def send(message, messages=messages):
            messages.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw}
        asyncio.run(guard(scope, None, send))
        assert messages[0]["status"] == 413
    assert not app.requests


def test_a_file_of_the_largest_size_is_taken(guard, app, monkeypatch):
    monkeypatch.setattr(page_guard, "MAX_FILE", 1000)
    answers = [
        ask(guard, "POST", "/gradio_api/upload", HOST | COOKIE | FORM, [form(b"\0" * size)]).status
        for size in (1000, 1001)
    ]
    assert answers == [200, 413]


def test_one_file_at_a_time(guard, app):
    post = ("POST", "/gradio_api/upload", HOST | COOKIE | FORM)
    answer = ask(guard, *post, [form(*[b"x"] * 1000)])
    assert (answer.status, answer.body) == (413, b"The upload has 1000 parts: give one picture at a time.\n")
    for damaged in (
        b"",
        b"--cut--\r\n",
        b"no parts",
        form(b"x")[:-6],
        b"before" + form(b"x"),
        form(b"x", boundary=b"x"),
    ):
        assert ask(guard, *post, [damaged]).status == 400
    for kind in ("multipart/form-data", "multipart/form-data; boundary=a; boundary=cut", "application/json", ""):
        headers = HOST | COOKIE | {"content-type": kind}
        assert ask(guard, "POST", "/gradio_api/upload", headers, [form(b"x")]).status == 400
    assert not app.requests


def test_too_many_pixels_are_refused(guard, app):
    post = ("POST", "/gradio_api/upload", HOST | COOKIE | FORM)
    long = b"\0" * 40_000  # behind the pixels: a short file may not have that many of them
    for sides, limit in (((50_001, 1000), 50), ((20_000, 20_000), 100)):  # Pillow itself refuses the second
        content = picture(*sides) + long
        assert len(content) < 200_000
        answer = ask(guard, *post, [form(content)])
        sentence = f"The picture has more than {limit} million pixels: reduce it.\n"
        assert (answer.status, answer.body) == (413, sentence.encode())
    answer = ask(guard, *post, [form(picture(50_000, 1000))])
    assert answer.status == 413
    assert answer.body.startswith(b"The picture has 50,000 x 1,000 pixels in a file of 6,1")
    assert not app.requests
    assert ask(guard, *post, [form(picture(50_000, 1000) + long)]).status == 200
    assert ask(guard, *post, [form(b"no picture")]).status == 200  # the answer to the question will say so


def test_the_disk_has_a_limit(guard, app, tmp_path, monkeypatch):
    monkeypatch.setattr(page_guard, "MAX_STORED", 1500)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "earlier").write_bytes(b"\0" * 1000)
    post = ("POST", "/gradio_api/upload", HOST | COOKIE | FORM)
    assert [ask(guard, *post, [form(b"\0" * size)]).status for size in (500, 501)] == [200, 507]


def test_only_stored_files_are_shown(guard, app, tmp_path):
    folder = tmp_path / SHA
    folder.mkdir()
    (folder / "result.png").write_bytes(b"x")
    get = ("GET", f"/gradio_api/file={folder}/result.png", HOST | COOKIE)
    assert ask(guard, *get).status == 200
    answers = set()
    for path in (
        *("/etc/passwd", "/etc/no_such_file", "/", "", "http://example.com/a.png", f"{tmp_path}", f"{tmp_path}/"),
        *(f"{tmp_path}/../{tmp_path.name}/{SHA}/result.png", f"{folder}//result.png", f"{folder}/no_such_file"),
        *(f"{tmp_path}x/result.png", f"{folder}/../../../../../../../../etc/passwd", f"{folder}/result.png\0"),
    ):
        answer = ask(guard, "GET", f"/gradio_api/file={path}", HOST | COOKIE)
        answers.add((answer.status, answer.body))
    assert answers == {(403, b"The page has stored no such file: give the picture again.\n")}
    assert len(app.requests) == 1


NOT_TEXT = (b"%ff%fe", b"\xff\xfe", b"%ed%a0%80", b"%00", "é".encode(), b"%", b"%u1234", b"\x00", b"a" * 60_000)


@pytest.mark.parametrize("letters", NOT_TEXT, ids=range(len(NOT_TEXT)))
def test_any_bytes_without_the_token_are_refused(guard, app, caplog, letters):
    for query in (
        letters,
        b"token=" + letters,
        letters + b"=1",
        b"token=a&token=" + letters,
        b"&".join([b"token"] * 999),
    ):
        assert ask(guard, "GET", "/", HOST, query=query).status == 403
    text = letters.decode("latin-1")
    for headers in (
        {"cookie": text},
        {"cookie": f"rim_page_7860={text}"},
        {"cookie": f"{text}=1"},
        {"a": text, text: ""},
    ):
        assert ask(guard, "GET", "/", HOST | headers).status == 403
    for name in ("host", "origin", "sec-fetch-site"):
        assert ask(guard, "GET", "/", HOST | COOKIE | {name: text}).status == 403
    assert not app.requests
    assert not caplog.records


def test_long_addresses_are_refused(guard, app):
    def status(path, query=b""):
        return ask(guard, "GET", path, HOST | COOKIE, query=query).status

    for folder in ("/static/", "/assets/"):
        answers = [status(folder + name) for name in ("a" * 5000, "a" * 201, "a\0", "é", "a b", "", "a" * 200)]
        assert answers == [404] * 6 + [200]
    for session in ("a" * 65, "é", "a\n", ""):
        assert status(f"/gradio_api/heartbeat/{session}") == 404
    assert status("/gradio_api/file=" + "/a" * 3000) == 403
    assert status("/gradio_api/file=" + "/a" * 5000) == 414
    assert status("/gradio_api/queue/data", b"session_hash=" + b"a" * 9000) == 414
    assert len(app.requests) == 2


def test_a_full_disk_is_found_among_the_causes(caplog):
    error = ValueError("Could not postprocess: " + "x" * 9000)
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert refusal_after(error).status == 507
    assert "OSError: " in caplog.text
    error.__cause__ = None
    assert refusal_after(error).status == 500
    assert len(caplog.records[-1].getMessage()) < 300


def test_an_error_of_the_application_is_answered_in_a_sentence(guard, app, caplog):
    full = b"The disk for temporary files is full: make room there, then repeat the request.\n"
    for error, status, sentence in (
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/face.png"), 507, full),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 507, full),
        (OSError(errno.ENAMETOOLONG, "File name too long"), 500, f"{FAILED}\n".encode()),
        (KeyError("a\x1b[2Jb\nc"), 500, f"{FAILED}\n".encode()),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), 500, f"{FAILED}\n".encode()),
    ):
        app.error = error
        for method, path in ROUTES:
            headers, body = proper(method, path)
            answer = ask(guard, method, path, headers, [body])
            assert (answer.status, answer.body) == (status, sentence)
        assert len(caplog.records) == len(ROUTES)
        for record in caplog.records:
            assert record.exc_info is None
            assert type(error).__name__ in record.getMessage()
            assert not re.search(r"[\x00-\x1f]", record.getMessage())
        caplog.clear()


def test_forty_requests_at_once(guard, app):
    async def many():
        app.gate = asyncio.Event()
        requests = [asyncio.create_task(asked(guard, "GET", "/", HOST | COOKIE)) for _ in range(40)]
        while sum(request.done() for request in requests) + app.at_once < 40:
            await asyncio.sleep(0)
        app.gate.set()
        first = [(await request).status for request in requests]
        return first, (await asked(guard, "GET", "/", HOST | COOKIE)).status

    statuses, afterwards = asyncio.run(many())
    assert sorted(statuses) == [200] * MAX_REQUESTS + [503] * (40 - MAX_REQUESTS)
    assert app.most_at_once == MAX_REQUESTS
    assert afterwards == 200


def test_forty_uploads_at_once_are_held_one_by_one(guard, app):
    async def many():
        headers, body = proper("POST", "/gradio_api/upload")
        return await asyncio.gather(*[asked(guard, "POST", "/gradio_api/upload", headers, [body]) for _ in range(40)])

    assert sorted(answer.status for answer in asyncio.run(many())) == [200] * MAX_REQUESTS + [503] * (40 - MAX_REQUESTS)
    assert app.most_at_once == 1


STREAMS = ["/gradio_api/heartbeat/abc", "/gradio_api/queue/data", "/gradio_api/upload_progress"]


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] not in STREAMS])
def test_a_slow_request_is_ended(guard, app, method, path, monkeypatch):
    monkeypatch.setattr(page_guard, "MAX_SECONDS", 0.05)

    async def slow():
        app.gate = asyncio.Event()  # never opened
        headers, body = proper(method, path)
        in_application = await asked(guard, method, path, headers, [body])

        async def receive():
            await asyncio.sleep(0.01)
            return {"type": "http.request", "body": b"", "more_body": True}

        messages = []

        async def send(message):
            messages.append(message)

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await guard(
            {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}, receive, send
        )
        app.gate = None
        return in_application.status, messages[0]["status"], (await asked(guard, method, path, headers, [body])).status

    assert asyncio.run(asyncio.wait_for(slow(), 60)) == (408, 408, 200)


@pytest.mark.parametrize("path", GETS)
def test_requests_whose_body_never_comes_make_room(guard, app, path, monkeypatch):
    monkeypatch.setattr(page_guard, "MAX_SECONDS", 0.05)
    statuses = []

    async def stalled():
        async def send(message):
            statuses.append(message.get("status"))

        raw = [(name.encode(), value.encode()) for name, value in (HOST | COOKIE).items()]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": raw}
        await guard(scope, asyncio.Event().wait, send)

    async def many():
        await asyncio.wait_for(asyncio.gather(*[stalled() for _ in range(MAX_REQUESTS)]), 60)
        return (await asked(guard, "GET", path, HOST | COOKIE)).status

    assert asyncio.run(many()) == 200
    assert list(filter(None, statuses)) == [408] * MAX_REQUESTS


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_may_last(guard, app, path, monkeypatch):
    monkeypatch.setattr(page_guard, "MAX_SECONDS", 0.05)

    async def lasting():
        app.gate = asyncio.Event()
        request = asyncio.create_task(asked(guard, "GET", path, HOST | COOKIE))
        await asyncio.sleep(0.3)
        app.gate.set()
        return (await request).status

    assert asyncio.run(lasting()) == 200
