"""A server closes connections on which no request begins, and those that are too many."""

import socket
import threading
import time

import pytest

pytest.importorskip("uvicorn")
from rim_lightning.commands import http_connection
from rim_lightning.commands.http_server import listening, run_server


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def connect(capsys):
    """A function that connects to a server and sends some bytes."""
    received, opened = [], []
    with listening("127.0.0.1", 0) as sock:
        thread = threading.Thread(target=run_server, args=(app, sock, "ready", received))
        thread.start()

        def connected(content):
            opened.append(socket.create_connection(sock.getsockname()[:2], timeout=5))
            opened[-1].sendall(content)
            return opened[-1]

        yield connected
        received.append(2)
        thread.join()
        for one in opened:
            one.close()


def is_closed(connection):
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_half_a_request_is_ended_and_a_whole_one_is_answered(connect, monkeypatch):
    monkeypatch.setattr(http_connection, "SECONDS_TO_BEGIN", 0.2)
    half = connect(b"GET / HTTP/1.1\r\nHo")
    nothing = connect(b"")
    assert connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").recv(100).startswith(b"HTTP/1.1 200")
    assert is_closed(half)
    assert is_closed(nothing)


def test_too_many_connections_are_closed(connect, monkeypatch):
    monkeypatch.setattr(http_connection, "MAX_CONNECTIONS", 2)
    first, second = connect(b"GET"), connect(b"GET")
    time.sleep(0.1)
    assert is_closed(connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    first.sendall(b" / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert first.recv(100).startswith(b"HTTP/1.1 200")
    second.close()
