"""The service as an application of FastAPI: routes, what they take, and errors in one sentence."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, File, Form, HTTPException, Path, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteError
from starlette.formparsers import MultiPartParser

from rim_lightning import __version__
from rim_lightning.commands.errors import sentence_of
from rim_lightning.commands.serve_guard import HEALTH, MAX_BODY
from rim_lightning.commands.serve_log import DecisionLog
from rim_lightning.commands.serve_questions import MAX_PICTURES, MAX_TOP, FaceService, NotThere, SentPicture
from rim_lightning.files import printable
from rim_lightning.inference.verdict import DEFAULT_FAR

MAX_WAITING = 32  # requests that are answered or wait
MAX_FILE = 20 * 2**20  # bytes of a picture
MULTIPART = "multipart/form-data"
HOW_TO_SEND = f"send {MULTIPART}, as curl -F probe=@picture.png does"
MAX_REASON = 200  # letters of the cause of an error on the terminal
DESCRIPTION = (
    "Compare faces of few pixels with sharp ones. A similarity is evidence, not proof: read it with the error rates "
    'that each answer has. Errors are {"error": "one sentence"}.'
)

Answer = TypeVar("Answer", dict[str, Any], bytes)
Far = Annotated[float, Form(gt=0, lt=1, description="False accept rate of one comparison.")]
Aligned = Annotated[
    bool, Form(description="True if the pictures are aligned square faces; else faces are searched for.")
]
Pictures = Annotated[list[UploadFile], File(description=f"1 to {MAX_PICTURES} pictures of one person.")]
Person = Annotated[str, Path(description="Name of the person.")]


def build_app(service: FaceService, log: DecisionLog | None, workers: int) -> FastAPI:
    """Make the application.

    Args:
        service: Answers the questions.
        log: Gets a line for each answer. None for no log.
        workers: Number of questions that are answered at once.

    Returns:
        The application; `serve_guard` belongs in front of it.
    """
    MultiPartParser.spool_max_size = MAX_BODY  # no picture on the disk
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the sender is told what is wrong
    app = FastAPI(
        title="rim serve",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    desk = _Desk(log, workers)
    _add_errors(app)
    _add_people(app, service, desk)
    _add_questions(app, service, desk)

    @app.get(HEALTH, summary="Does the service live?")
    async def health() -> dict[Literal["status"], Literal["ok"]]:
        return {"status": "ok"}

    @app.get("/v1/model", summary="Which model answers, measured on whom?")
    async def model(request: Request) -> dict[str, Any]:
        return await desk.answer(request, "model", service.about)

    return app


def _add_questions(app: FastAPI, service: FaceService, desk: _Desk) -> None:
    """Add the routes that ask about pictures."""

    @app.post("/v1/verify", summary="Do two sets of pictures show one person?")
    async def verify(
        request: Request, probe: Pictures, gallery: Pictures, far: Far = DEFAULT_FAR, aligned: Aligned = False
    ) -> dict[str, Any]:
        await _check_fields(request, ("probe", "gallery"), ("far", "aligned"))
        probes, known = await _read_all(probe), await _read_all(gallery)
        return await desk.answer(request, "verify", lambda: service.verify(probes, known, far, aligned))

    @app.post("/v1/identify", summary="Who is on a picture?")
    async def identify(
        request: Request,
        probe: Annotated[UploadFile, File(description="One picture.")],
        top: Annotated[int, Form(ge=1, le=MAX_TOP, description="Number of people.")] = 5,
        far: Far = DEFAULT_FAR,
        fpir: Annotated[float | None, Form(gt=0, lt=1, description="False hits per search, in place of far.")] = None,
        aligned: Aligned = False,
    ) -> dict[str, Any]:
        await _check_fields(request, (), ("probe", "top", "far", "fpir", "aligned"))
        (upload,) = await _read_all([probe])
        return await desk.answer(request, "identify", lambda: service.identify(upload, top, far, fpir, aligned))

    @app.post(
        "/v1/hallucinate",
        summary="A sharp face made of a probe: no photograph, no evidence.",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}, "description": "A PNG file that says what it is."}},
    )
    async def hallucinate(
        request: Request,
        probe: Annotated[UploadFile, File(description="One picture.")],
        aligned: Aligned = False,
    ) -> Response:
        await _check_fields(request, (), ("probe", "aligned"))
        (upload,) = await _read_all([probe])
        content = await desk.answer(request, "hallucinate", lambda: service.hallucinate(upload, aligned), probe=upload)
        return Response(content, media_type="image/png")


def _add_people(app: FastAPI, service: FaceService, desk: _Desk) -> None:
    """Add the routes that list and change the gallery."""

    @app.get("/v1/people", summary="Who is enrolled, with how many pictures?")
    async def people(request: Request) -> dict[str, Any]:
        return await desk.answer(request, "people", service.people)

    @app.post("/v1/people/{person:path}", summary="Enroll pictures of a person, all or none.")
    async def enroll(request: Request, person: Person, picture: Pictures, aligned: Aligned = False) -> dict[str, Any]:
        await _check_fields(request, ("picture",), ("aligned",))
        uploads = await _read_all(picture)
        change = {"person": person, "picture_sha256": [upload.digest for upload in uploads]}
        return await desk.answer(request, "enroll", lambda: service.enroll(person, uploads, aligned), change)

    @app.delete("/v1/people/{person:path}", summary="Remove a person for good.")
    async def forget(request: Request, person: Person) -> dict[str, Any]:
        return await desk.answer(request, "forget", lambda: service.forget(person), {"person": person})


class _Desk:
    """Where questions wait for a thread, and answers get their line in the log."""

    def __init__(self, log: DecisionLog | None, workers: int) -> None:
        self._log = log
        self._threads = ThreadPoolExecutor(workers, "question")
        self._turn = asyncio.Semaphore(workers)
        self._waiting = 0

    async def answer(
        self,
        request: Request,
        kind: str,
        question: Callable[[], Answer],
        change: dict[str, Any] | None = None,
        probe: SentPicture | None = None,
    ) -> Answer:
        """Answer a question in a thread, after those that came before. Nothing is done for who has gone away.

        Args:
            request: The request.
            kind: What is asked, for the log.
            question: Answers it.
            change: What the question changes, for the log. None if it changes nothing.
            probe: The probe, for the log, of an answer that is no JSON.
        """
        if self._waiting >= MAX_WAITING:
            raise HTTPException(
                503, f"{MAX_WAITING} questions wait already: repeat the request later.", {"Retry-After": "1"}
            )
        user: str = request.state.user
        self._waiting += 1
        try:
            async with self._turn:
                if await request.is_disconnected():
                    raise HTTPException(400, "The request ended early: repeat it.")
                return await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: self._answered(user, kind, question, change, probe)
                )
        finally:
            self._waiting -= 1

    def _answered(
        self,
        user: str,
        kind: str,
        question: Callable[[], Answer],
        change: dict[str, Any] | None,
        probe: SentPicture | None,
    ) -> Answer:
        if self._log is not None and change is not None:
            self._log.begin(user, kind, change)
        answer = question()
        if self._log is not None:
            told = answer if isinstance(answer, dict) else {"probe_sha256": None if probe is None else probe.digest}
            self._log.add(user, kind, told)
        return answer


async def _check_fields(request: Request, several: Collection[str], single: Collection[str]) -> None:
    """Refuse what would be ignored: unknown fields, a field that is given twice, and parameters of the address.

    Args:
        request: The request, whose form was read.
        several: Names of fields that may be repeated.
        single: Names of all others.
    """
    seen: set[str] = set()
    for name, value in (await request.form()).multi_items():
        if name not in (*several, *single):
            raise HTTPException(422, f"{printable(name)} is no field here: give {', '.join((*several, *single))}.")
        if name in single and (name in seen or value == ""):
            raise HTTPException(422, f"{name} is {'empty' if value == '' else 'given twice'}: give it once.")
        seen.add(name)
    if request.query_params:
        raise HTTPException(422, f"Fields of the address (?…) are not read: {HOW_TO_SEND}.")


async def _read_all(uploads: list[UploadFile]) -> list[SentPicture]:
    """Read the pictures of a request."""
    read = []
    for number, upload in enumerate(uploads, start=1):
        name = printable(upload.filename or f"picture {number}")
        content = await upload.read()
        if len(content) > MAX_FILE:
            raise HTTPException(413, f"{name} has more than {MAX_FILE >> 20} MB: reduce it.")
        read.append(SentPicture(name, content))
    return read


def _add_errors(app: FastAPI) -> None:
    """Answer every error by one sentence."""

    @app.exception_handler(RequestValidationError)
    async def wrong_fields(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = str(first["loc"][:2][-1])  # "body" or "path", the field, and perhaps its number in a list
        reason = str(first["msg"])
        if not request.headers.get("content-type", "").lower().startswith(MULTIPART):
            reason = HOW_TO_SEND
        elif "UploadFile" in reason:  # a text in place of a file
            reason = f"send a file, as curl -F {name}=@picture.png does (with @)"
        return JSONResponse({"error": printable(f"{name}: {reason}.")}, 422)

    @app.exception_handler(StarletteError)
    async def known(request: Request, error: StarletteError) -> JSONResponse:
        sentence = str(error.detail)
        if error.status_code == 404 and sentence == "Not Found":
            sentence = f"There is no {printable(request.url.path[:MAX_REASON])}: /openapi.json has all routes."
        elif error.status_code == 405:
            sentence = f"{request.method} is not answered here: /openapi.json has all routes."
        elif error.status_code == 400 and not sentence.endswith("repeat it."):  # of the parser
            sentence = f"The form cannot be read ({printable(sentence.rstrip('.'))}): {HOW_TO_SEND}."
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    @app.exception_handler(NotThere)
    async def not_there(request: Request, error: NotThere) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 404)

    @app.exception_handler(ValueError)
    async def wrong_input(request: Request, error: ValueError) -> JSONResponse:
        return JSONResponse({"error": printable(sentence_of(error))}, 422)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        reason = f"{type(error).__name__}: {sentence_of(error)[:MAX_REASON]}"
        logging.getLogger("uvicorn.error").error(printable(f"A request failed ({reason})."))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return JSONResponse({"error": "The disk of the service is full: make room there, then repeat."}, 507)
        return JSONResponse({"error": "The service could not answer; its terminal says why."}, 500)
