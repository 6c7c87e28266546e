"""`rim serve`: other programs get the answers of the commands, over HTTP."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from rim_lightning.commands import serve_app, serve_questions
from rim_lightning.commands.serve_app import build_app
from rim_lightning.commands.serve_guard import ServiceGuard
from rim_lightning.commands.serve_log import DecisionLog
from rim_lightning.commands.serve_questions import FaceService
from rim_lightning.files import content_digest
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.recognizer import Recognizer
from tests.helpers.case_records import rim, tiny_model, two_pictures

pytest.importorskip("fastapi")
from fastapi import HTTPException, Request

HOST = "http://127.0.0.1"
KEY = "k" * 32


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    two_pictures(folder)
    tiny_model(folder / "model", threshold=-0.9)
    return folder


@pytest.fixture(scope="module")
def recognizer(place):
    return Recognizer.from_checkpoint(place / "model")


def client_of(recognizer, gallery=None, log=None, keys=None):
    """A client of the service in this process. Errors that nobody foresaw are answered, too."""
    from starlette.testclient import TestClient

    app = ServiceGuard(build_app(FaceService(recognizer, gallery), log, 2), keys or {})
    return TestClient(app, base_url=HOST, raise_server_exceptions=False)


@pytest.fixture
def gallery(tmp_path, recognizer):
    return Gallery(tmp_path / "known", recognizer.fingerprint, recognizer.embedding_size, create=True)


@pytest.fixture
def client(tmp_path, recognizer, gallery):
    return client_of(recognizer, gallery, DecisionLog(tmp_path / "log.jsonl"))


def files(*pairs):
    return [(field, (path.name, path.read_bytes())) for field, path in pairs]


def test_verify_gives_the_answer_of_the_command(place, client, tmp_path):
    probe, sharp = place / "probe.png", place / "sharp.png"
    answer = client.post("/v1/verify", files=files(("probe", probe), ("gallery", sharp)), data={"far": "0.01"})
    assert answer.status_code == 200, answer.text
    expected = json.loads(rim("verify", "--model", place / "model", probe, sharp, "--far", "0.01", "--json").stdout)
    found = answer.json()
    assert {name: found[name] for name in expected if name in found and name != "left_out"} == {
        name: value for name, value in expected.items() if name in found and name != "left_out"
    }
    assert found["similarity"] == expected["similarity"]
    assert found["probe_sha256"] == [content_digest(probe)]
    (line,) = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (line["question"], line["user"], line["answer"]) == ("verify", "", found)


def test_people_are_enrolled_found_listed_and_forgotten(place, client, gallery, tmp_path):
    probe, sharp = place / "probe.png", place / "sharp.png"
    digest = content_digest(sharp)
    added = client.post("/v1/people/Zoë Lang", files=files(("picture", sharp))).json()
    assert (added["person"], added["added_sha256"], added["present_sha256"]) == ("Zoë Lang", [digest], [])
    again = client.post("/v1/people/Zoë Lang", files=files(("picture", sharp), ("picture", sharp))).json()
    assert (again["added_sha256"], again["present_sha256"]) == ([], [digest])
    assert client.get("/v1/people").json() == {"people": {"Zoë Lang": 1}}
    found = client.post("/v1/identify", files=files(("probe", probe)), data={"top": "3", "far": "0.1"}).json()
    (hit,) = found["hits"]
    assert (hit["person"], hit["digest"], hit["accepted"]) == ("Zoë Lang", digest, True)
    assert "state" not in hit
    assert hit["similarity"] == pytest.approx(_similarity(place), abs=1e-6)
    assert client.delete("/v1/people/Zoë Lang").json() == {"person": "Zoë Lang", "removed": 1}
    assert len(gallery) == 0
    gone = client.delete("/v1/people/Zoë Lang")
    assert (gone.status_code, gone.json()) == (404, {"error": "The gallery has no Zoë Lang."})
    kinds = [json.loads(text)["question"] for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert kinds == ["enroll"] * 4 + ["people", "identify", "forget", "forget", "forget"]


def _similarity(place):
    done = rim("verify", "--model", place / "model", place / "probe.png", place / "sharp.png", "--json")
    return json.loads(done.stdout)["similarity"]


def test_a_hallucinated_face_says_what_it_is(place, client, tmp_path):
    answer = client.post("/v1/hallucinate", files=files(("probe", place / "probe.png")))
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.text["Title"] == "hallucinated: not a photograph"
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["answer"] == {"probe_sha256": content_digest(place / "probe.png")}


def test_the_service_tells_its_model_and_describes_itself(client, recognizer):
    about = client.get("/v1/model").json()
    assert (about["model"], about["fars"], about["enrolled_pictures"]) == (
        recognizer.fingerprint,
        [0.1, 0.01, 0.001],
        0,
    )
    assert "404 people" in about["measured_on"]
    assert client.get("/health").json() == {"status": "ok"}
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        *("/health", "/v1/model", "/v1/verify", "/v1/identify", "/v1/people", "/v1/people/{person}", "/v1/hallucinate")
    }


@pytest.mark.parametrize(
    ("route", "fields", "data", "status", "sentence"),
    [
        ("/v1/verify", ["probe"], {}, 422, "gallery: Field required."),
        ("/v1/verify", ["probe", "gallery"], {"far": "2"}, 422, "far: Input should be less than 1."),
        ("/v1/verify", ["probe", "gallery"], {"far": "0.5"}, 422, "0.5"),
        ("/v1/verify", ["probe"] + 17 * ["gallery"], {}, 422, "Give 1 to 16 pictures of a person, not 17."),
        ("/v1/identify", ["probe"], {"top": "0"}, 422, "top: Input should be greater than or equal to 1."),
        ("/v1/identify", ["probe"], {"fpir": "0.0001"}, 422, "searches"),
        ("/v1/people/ ", ["picture"], {}, 422, "A person needs a name"),
        ("/v1/people/a%00b", ["picture"], {}, 422, "A person needs a name"),
        ("/v1/people/", ["picture"], {}, 422, "A person needs a name"),
        ("/v1/people/a%2fb", ["picture"], {}, 422, "without a slash"),
        ("/v1/people/%ff", ["picture"], {}, 422, "of UTF-8"),
        ("/v1/verify", ["probe", "gallery"], {"fra": "0.1"}, 422, "fra is no field here: give probe, gallery, far"),
        ("/v1/verify", ["probe", "gallery"], {"far": ["0.1", "0.01"]}, 422, "far is given twice"),
        ("/v1/verify", ["probe", "gallery"], {"far": ""}, 422, "far is empty"),
        ("/v1/verify?far=0.1", ["probe", "gallery"], {}, 422, "Fields of the address"),
        ("/v1/identify", ["probe", "probe"], {}, 422, "probe is given twice"),
        ("/v1/verify", ["gallery"], {"probe": "x.png"}, 422, "probe: send a file, as curl -F probe=@picture.png does"),
        ("/v1/verify", [], {"probe": "x.png"}, 422, "probe: send multipart/form-data"),
        ("/v1/nothing", [], {}, 404, "There is no /v1/nothing: /openapi.json has all routes."),
        ("/v1/model", [], {}, 405, "POST is not answered here"),
    ],
)
def test_wrong_requests_get_one_sentence(place, client, gallery, route, fields, data, status, sentence):
    answer = client.post(route, files=files(*((field, place / "probe.png") for field in fields)), data=data)
    assert answer.status_code == status, answer.text
    assert sentence in answer.json()["error"]
    assert len(gallery) == 0


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "empty"), (b"no picture", "x.png"), (b"\x89PNG\r\n\x1a\n" + b"0" * 40, "x.png")]
)
def test_damaged_pictures_get_one_sentence(place, client, gallery, content, sentence):
    good = ("picture", ("sharp.png", (place / "sharp.png").read_bytes()))
    answer = client.post("/v1/people/x", files=[good, ("picture", ("x.png", content))])
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert len(gallery) == 0  # all pictures or none


def test_limits(place, client, monkeypatch):
    monkeypatch.setattr(serve_app, "MAX_FILE", 100)
    answer = client.post("/v1/hallucinate", files=files(("probe", place / "probe.png")))
    assert (answer.status_code, answer.json()["error"]) == (413, "probe.png has more than 0 MB: reduce it.")
    monkeypatch.setattr(serve_app, "MAX_WAITING", 0)
    answer = client.get("/v1/people")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


def test_faults_are_no_answers(place, recognizer, gallery, tmp_path, monkeypatch, capfd):
    """A full disk, a fault of the program, a log that cannot be written: no answer, one line on the terminal."""
    log = DecisionLog(tmp_path / "log.jsonl")
    client = client_of(recognizer, gallery, log)
    full = OSError(28, "No space left on device")
    for error, status in ((full, 507), (KeyError("x"), 500), (OSError(5, "Input/output error"), 500)):
        monkeypatch.setattr(log, "add", lambda *given, error=error: (_ for _ in ()).throw(error))
        answer = client.get("/v1/people")
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]


def test_a_damaged_form_gets_one_sentence(client, caplog):
    kinds = ("multipart/form-data", "multipart/form-data; boundary=XX")
    for kind in kinds:
        answer = client.post("/v1/verify", content=b"garbage", headers={"content-type": kind})
        assert answer.status_code == 400
        assert "The form cannot be read" in answer.json()["error"]
    assert not [record for record in caplog.records if not record.name.startswith("httpx")]  # the client's own lines


def test_a_change_without_a_line_is_not_made(place, recognizer, gallery, tmp_path, monkeypatch):
    log = DecisionLog(tmp_path / "log.jsonl")
    client = client_of(recognizer, gallery, log)
    sharp = files(("picture", place / "sharp.png"))
    assert client.post("/v1/people/x", files=sharp).status_code == 200
    monkeypatch.setattr(log, "_write", lambda content: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert client.delete("/v1/people/x").status_code == 507
    assert client.post("/v1/people/y", files=sharp).status_code == 507
    assert gallery.people() == {"x": 1}


def test_spaces_around_a_name_do_not_matter(place, client):
    assert client.post("/v1/people/ x ", files=files(("picture", place / "sharp.png"))).json()["person"] == "x"
    assert client.delete("/v1/people/ x ").json() == {"person": "x", "removed": 1}


def test_pictures_together_have_a_limit(place, client, monkeypatch):
    monkeypatch.setattr(serve_questions, "MAX_ALL_PIXELS", 2 * Image.open(place / "sharp.png").size[0] ** 2)
    sharp = ("picture", place / "sharp.png")
    assert client.post("/v1/people/x", files=files(sharp, sharp)).status_code == 200
    answer = client.post("/v1/people/x", files=files(sharp, sharp, sharp))
    assert answer.status_code == 422
    assert "together: reduce them" in answer.json()["error"]


def test_nothing_is_done_for_who_has_gone_away(recognizer, tmp_path):
    """A request waits behind another one; its sender leaves."""
    desk = serve_app._Desk(None, 1)
    asked, held = [], threading.Event()

    async def ask():
        def request(disconnected):
            async def receive():
                if not disconnected:
                    await asyncio.sleep(10)
                return {"type": "http.disconnect"}

            return Request({"type": "http", "state": {"user": ""}, "headers": []}, receive)

        first = asyncio.create_task(desk.answer(request(False), "x", lambda: {"held": held.wait(10)}))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(desk.answer(request(True), "x", lambda: {"asked": asked.append(1)}))
        await asyncio.sleep(0.01)
        held.set()
        assert await first == {"held": True}
        with pytest.raises(HTTPException, match="ended early"):
            await second

    asyncio.run(ask())
    assert not asked


@pytest.mark.parametrize("other", ["--keys", "--index"])
def test_the_log_is_no_other_file_of_the_service(place, tmp_path, recognizer, other):
    (tmp_path / "keys").write_text(f"gate {KEY}\n")
    Gallery(tmp_path / "known", recognizer.fingerprint, recognizer.embedding_size, create=True)
    file, log = (tmp_path / "keys",) * 2 if other == "--keys" else (tmp_path / "known", tmp_path / "known" / ".lock")
    done = rim("serve", "--model", place / "model", other, file, "--log", log)
    assert done.exit_code == 2
    assert "give another file for --log" in " ".join(done.stderr.split())


def test_without_a_gallery_there_is_no_search(place, recognizer):
    client = client_of(recognizer)
    answer = client.post("/v1/identify", files=files(("probe", place / "probe.png")))
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "This service has no gallery: start rim serve with --index.",
    )
    assert client.get("/v1/model").json()["enrolled_pictures"] is None


def test_keys_are_asked_for(recognizer):
    client = client_of(recognizer, keys={"gate": KEY})
    assert client.get("/v1/model").status_code == 401
    assert client.get("/v1/model", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


def test_other_hosts_need_keys(place):
    done = rim("serve", "--model", place / "model", "--host", "0.0.0.0")
    assert done.exit_code == 2
    assert "--host 0.0.0.0 can be reached by others: say by --keys who may ask." in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
def test_a_killed_service_has_lost_no_answer(place, tmp_path):
    """What was answered is in the log and in the gallery, although the process was killed in the middle of work."""
    command = [sys.executable, "-m", "rim_lightning", "serve", "--model", place / "model", "--port", "0"]
    command += ["--index", tmp_path / "known", "--log", tmp_path / "log.jsonl"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    address = process.stdout.readline().split()[1]
    answered = []

    def enroll(number):
        try:
            answer = httpx.post(
                f"{address}/v1/people/{number}", files=files(("picture", place / "sharp.png")), timeout=60
            )
        except httpx.HTTPError:
            return
        if answer.status_code == 200:
            answered.append(str(number))

    with ThreadPoolExecutor(4) as pool:
        for number in range(200):
            pool.submit(enroll, number)
        while len(answered) < 5:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        pool.shutdown(cancel_futures=True)
    lines = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert set(answered) <= {line["answer"]["person"] for line in lines if "answer" in line}
    assert set(answered) <= set(Gallery(tmp_path / "known", None).people())


@pytest.mark.slow
def test_the_service_ends_by_a_signal(place, tmp_path):
    command = [sys.executable, "-m", "rim_lightning", "serve", "--model", place / "model", "--port", "0"]
    for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 143)):
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        address = process.stdout.readline().split()[1]
        assert httpx.get(f"{address}/health").json() == {"status": "ok"}
        with ThreadPoolExecutor(1) as pool:  # a question of many seconds: the end does not wait for its answer
            large = io.BytesIO()
            Image.new("L", (7000, 7000)).save(large, "PNG")
            fields = [(side, ("x.png", large.getvalue())) for side in ("probe", "gallery")]
            asked = pool.submit(httpx.post, f"{address}/v1/verify", files=fields, data={"aligned": "true"}, timeout=60)
            time.sleep(1)
            process.send_signal(number)
            assert process.wait(20) == code
            assert asked.result().status_code == 503
        assert "Traceback" not in process.stderr.read()
