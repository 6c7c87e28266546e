"""A page in the browser, on this machine alone: compare two pictures, search the gallery, reduce a face."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from rim_lightning.commands.face_menu import FaceMenu
from rim_lightning.commands.page_folder import private_folder, unused_folder
from rim_lightning.commands.page_guard import PageGuard
from rim_lightning.extras import require_extra
from rim_lightning.files import printable
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.gallery.index import Gallery
from rim_lightning.gallery.stored_templates import picture_state, remark_of
from rim_lightning.inference.calibration import PROBE_SIZES
from rim_lightning.inference.face_pictures import face_pictures
from rim_lightning.inference.faces import SHARP, AlignedFace
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.inference.verdict import DEFAULT_FAR, in_words, unsharp
from rim_lightning.plotting import pyplot
from rim_lightning.runs.signals import Interrupted

if TYPE_CHECKING:
    from types import FrameType

    from PIL import Image

    Pictures = list[tuple[Image.Image, str]]  # with captions

ADDRESS = "127.0.0.1"
SECONDS_TO_LOOK = 0.1  # between two looks for a signal
SECONDS_TO_END = 3  # in which open connections are closed
UPLOAD_SECONDS = 600  # time after which an upload is removed
PICTURE_SIDE = 256  # side of a picture of a face, in pixels
TITLE = "Recognize faces of few pixels"
CAUTION = (
    "A similarity is evidence, not proof: strangers pass and people are refused at the rates shown, on the people that "
    "the thresholds were chosen on. A hallucinated face is a plausible one, not a photograph."
)


class Page:
    """Functions behind the tabs of the browser page, without Gradio.

    Args:
        recognizer: Model with thresholds.
        gallery: Gallery to search. None for a page without a search.

    Attributes:
        recognizer: The model.
        gallery: The gallery, or None.
        fars: False accept rates that the user can choose from.
        far: The one that is chosen at first: that of every command. None if the model has no thresholds for it.

    Raises:
        ValueError: If the model has no thresholds, or if they were chosen on synthetic faces and `demo` is False.
    """

    def __init__(self, recognizer: Recognizer, gallery: Gallery | None = None) -> None:
        self._calibration = recognizer.required_calibration()
        self._chosen_on = f"Thresholds chosen on {self._calibration.chosen_on.in_words()}."
        self.recognizer = recognizer
        self.gallery = gallery
        self.fars = self._calibration.usable_fars()
        self.far = DEFAULT_FAR if DEFAULT_FAR in self.fars else None

    def faces(self, picture: str | None) -> FaceMenu | None:
        """Return the faces of a picture, if there are several to choose from.

        Args:
            picture: Path of the picture. None if the user gave none.

        Returns:
            The usable faces in the order of their numbers. None if there is one face or none.
        """
        if picture is None:
            return None
        try:
            found = self.recognizer.aligner.find(picture, "The picture")
        except (OSError, ValueError):
            return None  # the answer to the question will say why
        usable = [face for face in found if face.fault is None]
        return FaceMenu(picture, usable) if len(usable) > 1 else None

    def verify(
        self,
        probe: str | None,
        gallery: str | None,
        far: float | None,
        probe_face: int | None = None,
        gallery_face: int | None = None,
    ) -> tuple[str, Pictures]:
        """Compare two pictures.

        Args:
            probe: Path of the probe. None if the user gave none.
            gallery: Path of the gallery picture. None if the user gave none.
            far: False accept rate. None for the default of every command.
            probe_face: Number of the face in the probe; None for the largest.
            gallery_face: Number of the face in the gallery picture; None for the largest.

        Returns:
            The answer in Markdown, and pictures of what the network makes of the probe.
        """
        if probe is None or gallery is None:
            return "Give a probe and a gallery picture.", []
        try:
            far = self._checked(far)
            (face,) = self.recognizer.align(probe, name="The probe", face=probe_face)
            (sharp,) = self.recognizer.align(gallery, name="The gallery picture", face=gallery_face)
            answer = self.recognizer.verify([face], [sharp], far)
        except (OSError, ValueError) as error:
            return _in_bold(error), []
        side, *rest = answer.in_words()
        warning = unsharp(answer.gallery_size, SHARP * self.recognizer.rim.hr_size)
        lines = [
            f"### {side[0].upper()}{side[1:]}",
            *([f"Caution: {warning}."] if warning else []),
            *(f"{line[0].upper()}{line[1:]}." for line in rest),
            *_remarks([face, sharp]),
        ]
        return "\n\n".join(lines), self._pictures_of(face)

    def search(
        self, probe: str | None, far: float | None, top: int, face_number: int | None = None
    ) -> tuple[str, list[list[Any]], Pictures]:
        """Search the gallery.

        Args:
            probe: Path of the probe. None if the user gave none.
            far: False accept rate. None for the default of every command.
            top: Number of people to show.
            face_number: Number of the face in the probe; None for the largest.

        Returns:
            The answer in Markdown, rows of (similarity, person, accepted, picture), and pictures of what the network
            makes of the probe.
        """
        if self.gallery is None:
            return "There is no gallery.", [], []
        if probe is None:
            return "Give a probe.", [], []
        try:
            far = self._checked(far)
            (face,) = self.recognizer.align(probe, name="The probe", face=face_number)
            point = self._calibration.operating_point(face.size, far)
            (hits,) = self.gallery.search(self.recognizer.embed_probes([face]), top)
        except (OSError, ValueError) as error:
            return _in_bold(error), [], []
        rows = [
            [
                f"{hit.similarity:.3f}",
                hit.person,
                "yes" if hit.similarity >= point.threshold else "no",
                hit.source + remark_of(picture_state(hit.source, hit.digest)),
            ]
            for hit in hits
        ]
        templates = len(self.gallery)
        lines = [
            f"Threshold **{point.threshold:.3f}** ({in_words(far)}), judged at **{face.size:.0f} px**.",
            f"Of {templates} pictures, a stranger passes for {far * templates:.2g} on average.",
            self._chosen_on,
            *_remarks([face]),
        ]
        return "\n\n".join(lines), rows, self._pictures_of(face)

    def reduce(
        self, picture: str | None, size: int, far: float | None, face_number: int | None = None
    ) -> tuple[str, Pictures, Any]:
        """Reduce a sharp picture and compare it with itself.

        Args:
            picture: Path of the picture. None if the user gave none.
            size: Side of the reduced face in pixels.
            far: False accept rate. None for the default of every command.
            face_number: Number of the face in the picture; None for the largest.

        Returns:
            The answer in Markdown, pictures of what the network makes of the reduced face, and a figure of the
            similarity over all sizes.
        """
        if picture is None:
            return "Give a picture.", [], None
        try:
            far = self._checked(far)
            (face,) = self.recognizer.align(picture, name="The picture", face=face_number)
        except (OSError, ValueError) as error:
            return _in_bold(error), [], None
        if size > face.size:
            return f"The face has {face.size:.0f} px: choose a size below that.", [], None
        sizes = sorted({size, *(side for side in PROBE_SIZES if side <= face.size)})
        probes = self._reduced(face, sizes)
        sharp = self.recognizer.embed_gallery([face])[0]
        similarities = (self.recognizer.embed_probes(probes) @ sharp).tolist()
        thresholds = [self._calibration.operating_point(side, far).threshold for side in sizes]
        accepted = [value >= threshold for value, threshold in zip(similarities, thresholds, strict=True)]
        refused = [str(side) for side, same in zip(sizes, accepted, strict=True) if not same]
        index = sizes.index(size)
        lines = [
            f"### At {size} px: {'recognized' if accepted[index] else 'not recognized'} ({in_words(far)})",
            f"Similarity **{similarities[index]:.3f}**, threshold **{thresholds[index]:.3f}**.",
            f"Not recognized at {', '.join(refused)} px." if refused else "Recognized at every size.",
            "This compares a picture with itself: another picture of the same person is less alike.",
            self._chosen_on,
            *_remarks([face]),
        ]
        return "\n\n".join(lines), self._pictures_of(probes[index]), _curve(sizes, similarities, thresholds, size)

    def _checked(self, far: float | None) -> float:
        """Return the false accept rate if the model has thresholds for it; by default that of every command."""
        far = DEFAULT_FAR if far is None else far
        self._calibration.check_far(far)
        return far

    def _pictures_of(self, face: AlignedFace) -> Pictures:
        return face_pictures(self.recognizer.hallucinate([face]), 0, PICTURE_SIDE)

    def _reduced(self, face: AlignedFace, sizes: list[int]) -> list[AlignedFace]:
        """Reduce a face to each size, as in training."""
        probes = synthesize_probe(face.pixels.expand(len(sizes), -1, -1, -1), torch.tensor(sizes))  # (sizes, 3, S, S)
        return [AlignedFace(pixels, float(size), 0, face.name) for pixels, size in zip(probes, sizes, strict=True)]


def serve(recognizer: Recognizer, gallery: Gallery | None, port: int) -> None:
    """Show the page on this machine until the user stops it. Uploads are removed then.

    Args:
        recognizer: Model with thresholds.
        gallery: Gallery to search. None for a page without a search.
        port: Port on this machine. 0 takes a free one.

    Raises:
        Interrupted: If SIGTERM or SIGHUP ended it.
        KeyboardInterrupt: If Ctrl-C ended it before its address was printed.
        OSError: If the port is taken, or the folder for temporary files cannot be used.
        MissingExtra: If Gradio is not installed.
        ValueError: If the model has no thresholds.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"  # Gradio would keep faces in the storage of the browser
    require_extra("page", "The page")
    page = Page(recognizer, gallery)
    folder = unused_folder()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # Gradio reads it when it is imported
    with _listening(port) as connection:
        # This import takes seconds. The folder is not made yet, so that a signal may end the program at once.
        from rim_lightning.commands.page_tabs import build_app

        with _noted_signals() as received, private_folder(folder):
            port, token = connection.getsockname()[1], secrets.token_urlsafe(32)
            app = build_app(page)
            guard = PageGuard(app, folder, token, port, app.state.questions)
            address = f"http://{ADDRESS}:{port}/?token={token}"
            shown = _run(guard, connection, f"Page: {address}   (Ctrl+C ends it)", received)
    if received[0] != signal.SIGINT:
        name = signal.Signals(received[0]).name
        raise Interrupted(f"ended by {name}; the uploads are removed.", received[0])
    if not shown:
        raise KeyboardInterrupt


def _run(guard: PageGuard, connection: socket.socket, sentence: str, received: list[int]) -> bool:
    """Run the server until a signal is received. Return True if the sentence with its address was printed.

    The server has a thread of its own, and so have the questions. They end with the program: the end does not wait for
    an answer.
    """
    import uvicorn

    # Forwarded addresses are ignored: nobody stands in front of the page.
    config = uvicorn.Config(guard, ws="none", log_level="warning", access_log=False, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [connection]}, daemon=True)
    thread.start()
    shown = False
    try:
        while not received:
            if not shown and server.started:
                print(sentence, flush=True)
                shown = True
            thread.join(SECONDS_TO_LOOK)
            if not thread.is_alive():
                raise RuntimeError("The server of the page has ended by itself.")
    finally:
        logging.getLogger("uvicorn.error").disabled = True  # it reports every stream that is cut off now
        server.should_exit = server.force_exit = True
        thread.join(SECONDS_TO_END)
    return shown


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens on a port of this machine."""
    try:
        connection = socket.create_server((ADDRESS, port))
    except (OSError, OverflowError):
        raise OSError(f"Port {port} cannot be used, perhaps another page is there: give another by --port.") from None
    with connection:
        yield connection


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Yield a list that gets the numbers of Ctrl-C, SIGTERM and SIGHUP as they arrive. Windows has no SIGHUP.

    Nothing is raised: libraries may swallow an exception, and between two lines one could leave the folder behind.
    """
    signums = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    received: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        received.append(signum)

    handlers = {signum: signal.signal(signum, note) for signum in signums}
    try:
        yield received
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler or signal.SIG_DFL)


def _curve(sizes: list[int], similarities: list[float], thresholds: list[float], size: int) -> Any:
    """Plot similarity and threshold over the size of the face, with a line at one size."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    axes.plot(sizes, similarities, "o-", label="similarity to the sharp picture")
    axes.plot(sizes, thresholds, "--", color="gray", label="threshold")
    axes.axvline(size, color="lightgray", zorder=0)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(side) for side in sizes])
    axes.minorticks_off()
    axes.set_xlabel("size of the face, px")
    axes.legend()
    plt.close(figure)
    return figure


def _remarks(faces: list[AlignedFace]) -> list[str]:
    notes = [f"{face.name} {note}." for face in faces for note in face.notes]
    return notes + [f"{remark}." for face in faces if (remark := face.remark())]


def _in_bold(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):  # somebody asks again after a while
        minutes = UPLOAD_SECONDS // 60
        return f"**A picture is no longer there: uploads are removed after {minutes} minutes. Give it again.**"
    return f"**{printable(str(error))}**"
