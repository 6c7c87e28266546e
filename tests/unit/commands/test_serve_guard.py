"""Who may ask the service, and how much a request may hold."""

import asyncio
import json

import pytest

from rim_lightning.commands import serve_guard
from rim_lightning.commands.serve_guard import ServiceGuard, read_keys

KEYS = {"gate 1": "a" * 32, "gate 2": "b" * 32}


def ask(guard, headers=(), path="/v1/people", chunks=(b"",), method="GET"):
    """Send a request; return status and JSON of the answer."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


async def echo(scope, receive, send):
    """An application that answers with the name of the key and the length of the body."""
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    answer = {"user": scope["state"]["user"], "bytes": len(body)}
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LocalHost", "[::1]:80"])
def test_without_keys_programs_of_this_machine_may_ask(host):
    assert ask(ServiceGuard(echo, {}), [("host", host)]) == (200, {"user": "", "bytes": 0})


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "evil.example")],
        [("host", "127.0.0.1.evil.example")],
        [("host", "localhost"), ("origin", "null")],
        [("host", "localhost"), ("sec-fetch-site", "cross-site")],
    ],
)
def test_without_keys_other_names_and_web_pages_are_refused(headers):
    status, answer = ask(ServiceGuard(echo, {}), headers)
    assert status == 403
    assert "programs of this machine alone" in answer["error"]


def test_a_key_tells_who_asks():
    for name, key in KEYS.items():
        answer = ask(ServiceGuard(echo, KEYS), [("host", "server"), ("authorization", f"Bearer {key}")])
        assert answer == (200, {"user": name, "bytes": 0})


@pytest.mark.parametrize("header", [None, "", "Bearer", f"Basic {'a' * 32}", f"Bearer {'a' * 31}", "Bearer \xe9"])
def test_another_key_is_refused(header):
    headers = [("host", "127.0.0.1")] + ([] if header is None else [("authorization", header)])
    status, answer = ask(ServiceGuard(echo, KEYS), headers)
    assert status == 401
    assert "Authorization: Bearer" in answer["error"]


def test_health_needs_no_key():
    assert ask(ServiceGuard(echo, KEYS), path="/health")[0] == 200
    assert ask(ServiceGuard(echo, KEYS), path="/health", method="POST")[0] == 401


def test_long_requests_are_refused_before_and_while_they_are_read(monkeypatch):
    monkeypatch.setattr(serve_guard, "MAX_BODY", 10)
    guard, host = ServiceGuard(echo, {}), ("host", "localhost")
    assert ask(guard, [host], chunks=(b"12345", b"67890")) == (200, {"user": "", "bytes": 10})
    for length in ("11", "-1", "x", "9" * 40):
        assert ask(guard, [host, ("content-length", length)])[0] == 413
    assert ask(guard, [host], chunks=(b"12345", b"678901"))[0] == 413
    assert guard._held == 0


def test_requests_beyond_the_memory_are_put_off(monkeypatch):
    monkeypatch.setattr(serve_guard, "MAX_HELD", 8)
    guard = ServiceGuard(echo, {})
    assert ask(guard, [("host", "localhost")], chunks=(b"12345", b"6789"))[0] == 503
    assert ask(guard, [("host", "localhost")], chunks=(b"12345678",))[0] == 200
    assert guard._held == 0


def test_a_request_that_does_not_arrive_is_ended(monkeypatch):
    monkeypatch.setattr(serve_guard, "MAX_SECONDS", 0.01)
    sent = []

    async def receive():
        await asyncio.sleep(10)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/verify", "headers": [(b"host", b"localhost")]}
    asyncio.run(ServiceGuard(echo, {})(scope, receive, send))
    assert sent[0]["status"] == 408


def test_the_end_of_the_server_is_said():
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    async def never(scope, receive, send):
        await asyncio.sleep(10)

    async def ended():
        scope = {"type": "http", "method": "GET", "path": "/v1/people", "headers": [(b"host", b"localhost")]}
        task = asyncio.create_task(ServiceGuard(never, {})(scope, receive, send))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ended())
    assert sent[0]["status"] == 503
    assert "The service is ending" in json.loads(sent[1]["body"])["error"]


def test_keys_are_read(tmp_path):
    file = tmp_path / "keys.txt"
    file.write_text(f"# gates\n\ngate_1 {'a' * 32}\n  gate_2   {'b' * 24}  \ngate_3\t{'c' * 24}\r\n", "utf-8-sig")
    assert read_keys(file) == {"gate_1": "a" * 32, "gate_2": "b" * 24, "gate_3": "c" * 24}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no key"),
        ("gate_1 short", "line 1: give a name, a space and a key of at least 24"),
        (f"# x\n{'a' * 40}", "line 2: give a name"),
        (f"gate {'a' * 30} b", "line 1: give a name"),
        (f"gate {'ä' * 30}", "line 1: give a name"),
        (f"gate_1 {'a' * 30}\ngate_2 {'a' * 30}", "line 2: another line has this key"),
        (f"gate {'a' * 30}\ngate {'b' * 30}", "line 2: there are two keys of the name gate"),
    ],
)
def test_damaged_keys_are_refused(tmp_path, text, sentence):
    file = tmp_path / "keys.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_keys(file)
