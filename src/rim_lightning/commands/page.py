"""A page in the browser, on this machine alone: two pictures, a search in the gallery, and how small a face may get."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import torch

from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.calibration import SIZES
from rim_lightning.inference.face_pictures import face_pictures
from rim_lightning.inference.faces import AlignedFace
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.plotting import pyplot

if TYPE_CHECKING:
    import gradio
    from PIL import Image

    Pictures = list[tuple[Image.Image, str]]  # and their captions

MAX_FILE = "20mb"
KEPT = 600  # seconds that an upload is kept
SIDE = 256  # pixels of a picture of a face
CSS = """
.faces .grid-wrap { height: auto; max-height: none; min-height: 0; }
.faces .grid-container { grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)) !important; max-width: 1130px; }
.faces .caption-label { font-size: 11px; padding: 1px 4px; }
"""


TITLE = "Recognize faces of few pixels"
CAUTION = (
    "A similarity is evidence, not proof: strangers pass and people are refused at the rates shown, on the people that "
    "the thresholds were chosen on. A hallucinated face is a plausible one, not a photograph."
)


class Page:
    """What the page answers, without the page.

    Args:
        recognizer: with thresholds. gallery: to search; None: the page has no search.

    Raises:
        ValueError: the model has no thresholds.
    """

    def __init__(self, recognizer: Recognizer, gallery: Gallery | None = None) -> None:
        if recognizer.calibration is None:
            raise ValueError("The model has no thresholds: rim export --people chooses them.")
        self.recognizer = recognizer
        self.gallery = gallery
        self.fars = recognizer.calibration.usable_fars()

    def verify(self, probe: str | None, gallery: str | None, far: float) -> tuple[str, Pictures]:
        """Answer in Markdown, and what the network made of the probe."""
        if probe is None or gallery is None:
            return "Give a probe and a gallery picture.", []
        try:
            (face,) = self.recognizer.align(probe, name="The probe")
            (sharp,) = self.recognizer.align(gallery, name="The gallery picture")
            answer = self.recognizer.verify([face], [sharp], far)
        except (OSError, ValueError) as error:
            return _wrong(error), []
        verdict = "the same person" if answer.same_person else "not the same person"
        lines = [
            f"### {verdict}",
            f"Similarity **{answer.similarity:.3f}**, threshold **{answer.threshold:.3f}**, judged at "
            f"**{answer.probe_size:.0f} px**.",
            f"At this threshold {answer.far:g} of strangers are accepted and {answer.frr:.1%} of true pairs refused.",
            *_remarks([face, sharp]),
        ]
        return "\n\n".join(lines), self._seen(face)

    def search(self, probe: str | None, far: float, top: int) -> tuple[str, list[list[Any]], Pictures]:
        """Answer in Markdown, rows of (similarity, person, accepted, picture), what the network made of the probe."""
        if probe is None:
            return "Give a probe.", [], []
        try:
            (face,) = self.recognizer.align(probe, name="The probe")
            point = self.recognizer.calibration.at(face.size, far)
        except (OSError, ValueError) as error:
            return _wrong(error), [], []
        (hits,) = self.gallery.search(self.recognizer.embed_probes([face]), top)
        rows = [
            [f"{hit.similarity:.3f}", hit.person, "yes" if hit.similarity >= point.threshold else "no", hit.source]
            for hit in hits
        ]
        templates = len(self.gallery)
        lines = [
            f"Threshold **{point.threshold:.3f}**, judged at **{face.size:.0f} px**.",
            f"Of {templates} pictures, a stranger passes for {far * templates:.2g} on average.",
            *_remarks([face]),
        ]
        return "\n\n".join(lines), rows, self._seen(face)

    def reduce(self, picture: str | None, size: int, far: float) -> tuple[str, Pictures, Any]:
        """A sharp picture reduced to a size: answer, what the network makes of it, the similarity over all sizes."""
        if picture is None:
            return "Give a picture.", [], None
        try:
            (face,) = self.recognizer.align(picture, name="The picture")
        except (OSError, ValueError) as error:
            return _wrong(error), [], None
        sizes = sorted({size, *(each for each in SIZES if each <= face.size)})
        if size > face.size:
            return f"The face has {face.size:.0f} px: choose a size below that.", [], None
        probes = self._reduced(face, sizes)
        own = self.recognizer.embed_gallery([face])[0]
        similarity = (self.recognizer.embed_probes(probes) @ own).tolist()
        points = [self.recognizer.calibration.at(each, far) for each in sizes]
        index = sizes.index(size)
        same = similarity[index] >= points[index].threshold
        broken = [each for each, s, p in zip(sizes, similarity, points, strict=True) if s < p.threshold]
        lines = [
            f"### At {size} px: {'recognized' if same else 'not recognized'}",
            f"Similarity **{similarity[index]:.3f}**, threshold **{points[index].threshold:.3f}**.",
            f"Not recognized at {', '.join(map(str, broken))} px." if broken else "Recognized at every size.",
            "This compares a picture with itself: another picture of the same person is less alike.",
            *_remarks([face]),
        ]
        seen = self._seen(probes[index])
        return "\n\n".join(lines), seen, _curve(sizes, similarity, [point.threshold for point in points], size)

    def _seen(self, face: AlignedFace) -> Pictures:
        shown = face_pictures(self.recognizer.hallucinate([face]), 0, SIDE)
        return [
            (picture, f"{name}, {face.size:.0f} px" if name == "bicubic" else name) for name, picture in shown.items()
        ]

    def _reduced(self, face: AlignedFace, sizes: list[int]) -> list[AlignedFace]:
        pixels = synthesize_probe(face.pixels.expand(len(sizes), -1, -1, -1), torch.tensor(sizes))
        return [AlignedFace(each, float(size), 0, face.name) for each, size in zip(pixels, sizes, strict=True)]


def build_page(page: Page) -> gradio.Blocks:
    """The page itself.

    Raises:
        ImportError: Gradio is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError("The page needs Gradio: pip install 'rim-lightning[page]'.") from error

    def upload(label: str) -> gr.Image:
        image = gr.Image(label=label, type="filepath", sources=["upload", "clipboard"], height=260, buttons=[])
        # The file as it is: Gradio would open it, and has no sentence for what is no picture.
        image.preprocess = lambda payload: None if payload is None else payload.path
        return image

    def faces() -> gr.Gallery:
        return gr.Gallery(
            label="What the network makes of the probe",
            show_label=False,
            interactive=False,
            format="png",
            columns=5,
            object_fit="contain",
            buttons=["download", "fullscreen"],
            elem_classes="faces",
        )

    def rate() -> gr.Dropdown:
        choices = [(f"1 in {1 / far:,.0f}", far) for far in page.fars]
        return gr.Dropdown(choices, value=min(page.fars, key=lambda far: abs(far - 1e-2)), label="Strangers accepted")

    private = {"api_visibility": "private", "concurrency_limit": 1}
    with gr.Blocks(title=TITLE, delete_cache=(60, KEPT), analytics_enabled=False) as blocks:
        gr.Markdown(f"# {TITLE}\n\n{CAUTION}")
        with gr.Tab("Two pictures"):
            with gr.Row():
                probe, sharp = upload("Probe: few pixels"), upload("Gallery: sharp")
            far, button = rate(), gr.Button("Compare", variant="primary")
            answer, seen = gr.Markdown(), faces()
            button.click(page.verify, [probe, sharp, far], [answer, seen], **private)
        if page.gallery is not None:
            with gr.Tab("Search"):
                wanted = upload("Probe: few pixels")
                rate_of_search, top = rate(), gr.Slider(1, 20, 5, step=1, label="People shown")
                search = gr.Button("Search", variant="primary")
                found = gr.Markdown()
                rows = gr.Dataframe(headers=["similarity", "person", "accepted", "picture"], interactive=False)
                seen_in_search = faces()
                outputs = [found, rows, seen_in_search]
                search.click(page.search, [wanted, rate_of_search, top], outputs, **private)
        with gr.Tab("How small?"):
            own = upload("Your own photograph")
            largest = page.recognizer.rim.hr_size
            size = gr.Slider(7, largest, page.recognizer.rim.lr_size, step=1, label="Reduce the face to, px")
            rate_of_size, shrink = rate(), gr.Button("Reduce", variant="primary")
            judged, small, curve = gr.Markdown(), faces(), gr.Plot(show_label=False)
            inputs = [own, size, rate_of_size]
            shrink.click(page.reduce, inputs, [judged, small, curve], **private)
            size.release(page.reduce, inputs, [judged, small, curve], **private)
    return blocks.queue(max_size=20)


def serve(recognizer: Recognizer, gallery: Gallery | None, port: int) -> None:
    """Show the page on this machine until the user stops it; uploads go into a folder that is removed then.

    Raises:
        OSError: the port is taken. ImportError: Gradio is not installed. ValueError: the model has no thresholds.
    """
    with tempfile.TemporaryDirectory(prefix="rim_page_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        blocks = build_page(Page(recognizer, gallery))
        import gradio as gr

        theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # none from the internet
        try:
            _, address, _ = blocks.launch(
                server_name="127.0.0.1",
                server_port=port,
                max_file_size=MAX_FILE,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                show_error=False,
                footer_links=[],
                theme=theme,
                ssr_mode=False,
                css=CSS,
            )
            print(f"Page: {address}   (Ctrl+C ends it)", flush=True)
            blocks.block_thread()
        finally:
            blocks.close(verbose=False)


def _curve(sizes: list[int], similarity: list[float], thresholds: list[float], chosen: int) -> Any:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    axes.plot(sizes, similarity, "o-", label="similarity to the sharp picture")
    axes.plot(sizes, thresholds, "--", color="gray", label="threshold")
    axes.axvline(chosen, color="lightgray", zorder=0)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("size of the face, px")
    axes.legend()
    plt.close(figure)
    return figure


def _remarks(faces: list[AlignedFace]) -> list[str]:
    return [f"{face.name} shows {face.faces} faces: the largest was taken." for face in faces if face.faces > 1]


def _wrong(error: Exception) -> str:
    return f"**{error}**"
