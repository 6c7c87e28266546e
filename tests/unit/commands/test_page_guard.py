"""The guard in front of the page, around an application that answers everything."""

import asyncio
import io
import json
import re

import pytest
from PIL import Image

from rim_lightning.commands import page_guard
from rim_lightning.commands.page_guard import MAX_FILE, MAX_QUESTION, MAX_REQUESTS, MULTIPART, PageGuard

TOKEN = "a-secret"
HOST = {"host": "127.0.0.1:7860"}
COOKIE = {"cookie": f"other=1; rim_page_7860={TOKEN}"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=cut"}
SHA = "0" * 64  # an application may name the folder of an upload by its digest
GETS = ["/", "/config", "/theme.css", "/assets/index.js", "/static/a.png", "/gradio_api/heartbeat/abc"]
GETS += ["/gradio_api/queue/data", "/gradio_api/upload_progress"]
POSTS = ["/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/cancel"]
ROUTES = [*(("GET", path) for path in GETS), *(("POST", path) for path in POSTS)]


class Everything:
    """An application that answers everything, permits everybody, and notes what it gets."""

    def __init__(self):
        self.requests = []
        self.at_once = self.most_at_once = 0
        self.gate = None

    async def __call__(self, scope, receive, send):
        body = (await receive()).get("body", b"")
        self.requests.append((scope, body))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await (asyncio.sleep(0.01) if self.gate is None else self.gate.wait())
        self.at_once -= 1
        headers = [(b"access-control-allow-origin", b"*"), (b"Access-Control-Allow-Credentials", b"true")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"reached"})


@pytest.fixture
def app():
    return Everything()


@pytest.fixture
def guard(app, tmp_path):
    return PageGuard(app, tmp_path, TOKEN, 7860)


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
    return (headers | JSON, b"{}") if method == "POST" else (headers, b"")


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


def question(guard, path, **more):
    item = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [[{"deep": item}]], **more}).encode()
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


def test_the_application_reads_what_was_checked(guard, app):
    twice = b'{"path": "/etc/passwd", "path": "x"}'
    assert ask(guard, "POST", "/gradio_api/queue/join", HOST | COOKIE | JSON, [twice]).status == 403
    body = '{"data": "\\u00e9", "data": 2}'.encode("utf-16")
    assert ask(guard, "POST", "/gradio_api/queue/join", HOST | COOKIE | JSON, [body]).status == 200
    assert app.requests[-1][1] == b'{"data": 2}'


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b"9" * 5000])
def test_a_damaged_question_is_refused(guard, app, body):
    assert ask(guard, "POST", "/gradio_api/queue/join", HOST | COOKIE | JSON, [body]).status == 400
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


@pytest.mark.parametrize("path", POSTS)
def test_a_slow_request_is_ended(guard, app, path, monkeypatch):
    monkeypatch.setattr(page_guard, "MAX_SECONDS", 0.05)

    async def slow():
        app.gate = asyncio.Event()  # never opened
        headers, body = proper("POST", path)
        in_application = await asked(guard, "POST", path, headers, [body])

        async def receive():
            await asyncio.sleep(0.01)
            return {"type": "http.request", "body": b"", "more_body": True}

        messages = []

        async def send(message):
            messages.append(message)

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await guard(
            {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": raw}, receive, send
        )
        app.gate = None
        return in_application.status, messages[0]["status"], (await asked(guard, "POST", path, headers, [body])).status

    assert asyncio.run(asyncio.wait_for(slow(), 60)) == (408, 408, 200)
