"""rim: a trained model from the command line."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from PIL import Image

    from rim_lightning.gallery import Gallery
    from rim_lightning.recognizer import AlignedFace, Recognizer

DEFAULT_FAR = 1e-3
NO, WRONG, SOME, BROKEN, INTERRUPTED = 1, 2, 3, 70, 130
EXIT_CODES = (
    "Exit codes: 0 done, or the answer is yes; 1 the answer is no; 2 stopped by wrong input; 3 done, but some pictures "
    "were left out; 70 a fault of this program; 130 interrupted."
)

Result = TypeVar("Result")


class OutOfSpace(Exception):
    """Nothing more can be written: one sentence."""


class Group(click.Group):
    """Commands whose errors are one sentence, and of which none looks like the answer no."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what the user can mend ends with exit code 2."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has seen enough
            sys.stdout = open(os.devnull, "w")
            sys.exit(INTERRUPTED)
        except (OSError, ValueError, ImportError, OutOfSpace) as error:
            click.echo(f"rim: {_sentence(error)}", err=True)
            sys.exit(WRONG)
        except (KeyboardInterrupt, click.Abort):
            click.echo("rim: interrupted", err=True)
            sys.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception:
            traceback.print_exc()
            click.echo("rim: this is a fault of the program: please report it with what stands above.", err=True)
            sys.exit(BROKEN)


class Place(click.Path):
    """A path that is not empty: an unset variable of a script is no place."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; fails for an empty one."""
        if value == "":
            self.fail("the path is empty.", param, ctx)
        return super().convert(value, param, ctx)


@click.group(cls=Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rim-lightning")
def main() -> None:
    """Recognise faces of few pixels with a trained RIM.

    MODEL is a folder that `rim export` made, or a checkpoint of rim-train.

    \b
    Examples:
      rim export outputs/real_128/checkpoints/last.ckpt my_model --people prepared/celeba_128
      rim verify --model my_model cctv.png passport.jpg
      rim enroll --model my_model --index known passports
      rim identify --model my_model --index known cctv_folder
      rim hallucinate --model my_model cctv_folder faces_folder
      rim page --model my_model --index known
      rim info my_model
    """


device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, …")


def _model_options(command: Callable) -> Callable:
    for option in (
        device_option,
        click.option("--model", "-m", required=True, type=Place(), help="Model folder or checkpoint."),
    ):
        command = option(command)
    return command


aligned_option = click.option(
    "--aligned", is_flag=True, help="The pictures are aligned square faces already: no search for the face."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


@main.command(epilog=EXIT_CODES)
@_model_options
@click.argument("probe", type=Place())
@click.argument("gallery", type=Place())
@click.option("--far", default=DEFAULT_FAR, show_default=True, help="False accept rate that the threshold is for.")
@aligned_option
@json_option
def verify(model: Path, device: str, probe: Path, gallery: Path, far: float, aligned: bool, as_json: bool) -> None:
    """Do PROBE and GALLERY show one person?

    Each is a picture, or a folder of pictures of one person, of which those that cannot be used are left out. Exit code
    0: yes, 1: no.

    \b
    Examples:
      rim verify --model my_model cctv.png passport.jpg
      rim verify --model my_model cctv.png passport.jpg --far 1e-2 --json
    """
    from rim_lightning.recognizer import SHARP

    recognizer = _recognizer(model, device)
    left_out: dict[str, str] = {}
    probes, sharp = (_faces(recognizer, path, aligned, left_out) for path in (probe, gallery))
    answer = recognizer.verify(probes, sharp, far)
    if as_json:
        faces = {"probe_faces": [face.faces for face in probes], "gallery_faces": [face.faces for face in sharp]}
        click.echo(json.dumps(answer._asdict() | faces | {"left_out": left_out}))
    else:
        _tell_of_many(probes + sharp)
        _name(left_out)
        sharp_from = SHARP * recognizer.rim.hr_size
        if answer.gallery_size < sharp_from:
            click.echo(
                f"the gallery face has {answer.gallery_size:.0f} px: the rates below are those of sharp ones, of "
                f"{sharp_from:.0f} px or more",
                err=True,
            )
        click.echo("the same person" if answer.same_person else "not the same person")
        click.echo(f"similarity {answer.similarity:.3f}, threshold {answer.threshold:.3f}")
        pooled = (
            f" ({_counted(answer.probes, 'probe')}, {_counted(answer.gallery, 'gallery picture')}, pooled)"
            if answer.probes + answer.gallery > 2
            else ""
        )
        click.echo(
            f"for a probe of {answer.probe_size:.0f} px{pooled}: {answer.far:.3g} of strangers are accepted and "
            f"{answer.frr:.3f} of true pairs refused, on the people of the calibration"
        )
    sys.exit(0 if answer.same_person else NO)


index_option = click.option(
    "--index", "-i", required=True, help="Gallery: a folder, or an object store (s3://…, gs://…, az://…)."
)


@main.command(epilog=EXIT_CODES)
@click.option("--model", "-m", type=Place(), help="Model folder or checkpoint; what rim-embed wrote needs none.")
@device_option
@index_option
@click.argument("folder", type=Place())
@aligned_option
@json_option
def enroll(model: Path | None, device: str, index: str, folder: Path, aligned: bool, as_json: bool) -> None:
    """Add the pictures of FOLDER to the gallery: a person a folder in it, or a person a picture.

    Pictures that are there already are passed over, so that the same command goes on where it was stopped. So a person
    who was forgotten comes back with a folder that they are in. FOLDER may be what rim-embed wrote, too, which says how
    many pictures were left out, show several faces or small ones; the names are in its files.

    \b
    Examples:
      rim enroll --model my_model --index known passports
      rim enroll --index known embedded
    """
    from rim_lightning.data.images import image_files
    from rim_lightning.embedded_folder import is_embedded
    from rim_lightning.enrolment import enrol
    from rim_lightning.recognizer import SHARP

    if is_embedded(folder):
        _enroll_embedded(_recognizer(model, device).fingerprint if model else None, index, folder, as_json)
        return
    if model is None:
        raise click.UsageError("Missing option '--model' / '-m'.")
    recognizer = _recognizer(model, device)
    image_files(folder)  # a folder without pictures is refused before a gallery is made
    gallery = _gallery(index, recognizer, create=True)
    done = enrol(recognizer, gallery, folder, aligned, lambda files: _progress(files, "enrolling"))
    if as_json:
        counts = {"templates": len(gallery), "people": len(gallery.people())}
        click.echo(json.dumps(done._asdict() | counts))
    else:
        for picture in done.several:
            click.echo(f"{picture} shows several faces: the largest was taken", err=True)
        for picture in done.small:
            size = SHARP * recognizer.rim.hr_size
            click.echo(f"{picture}: a face of less than {size:.0f} px is no sharp one", err=True)
        click.echo(f"{done.added} pictures added, {done.known} were known; {len(gallery.people())} people in {index}")
    _end(done.left_out, done.added + done.known, as_json)


@main.command(epilog=EXIT_CODES)
@_model_options
@index_option
@click.argument("probes", type=Place(), nargs=-1, required=True)
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="People for each probe.")
@click.option("--far", default=DEFAULT_FAR, show_default=True, help="False accept rate of one comparison.")
@aligned_option
@json_option
def identify(
    model: Path, device: str, index: str, probes: tuple[Path, ...], top: int, far: float, aligned: bool, as_json: bool
) -> None:
    """Who in the gallery is on PROBES, pictures or folders? Exit code 0: somebody was accepted, 1: nobody.

    A threshold for a FAR of 1e-3 lets a stranger pass for about one in a thousand pictures of the gallery.

    \b
    Examples:
      rim identify --model my_model --index known cctv.png
      rim identify --model my_model --index known cctv/*.png --top 1
      rim identify --model my_model --index known cctv_folder --top 10 --far 1e-4 --json
    """
    recognizer = _recognizer(model, device)
    gallery = _gallery(index, recognizer)
    if recognizer.calibration is None:
        raise ValueError("The model has no thresholds: rim export --people <a prepared set> chooses them.")
    templates = len(gallery)
    found, left_out = [], {}
    paths = [picture for place in probes for picture in _pictures(place)]
    for path in _progress(paths, "identifying"):
        try:
            (face,) = recognizer.align(path, aligned)
        except (OSError, ValueError) as error:
            left_out[str(path)] = _sentence(error)
            continue
        point = recognizer.calibration.at(face.size, far)
        (hits,) = gallery.search(recognizer.embed_probes([face]), top)
        answers = [hit._asdict() | {"accepted": hit.similarity >= point.threshold} for hit in hits]
        found.append(
            {
                "picture": str(path),
                "size": face.size,
                "faces": face.faces,
                "threshold": point.threshold,
                "hits": answers,
            }
        )
        if not as_json:
            _tell_of_many([face])
            click.echo(f"{path}: {face.size:.0f} px, threshold {point.threshold:.3f}")
            for answer in answers:
                mark = "accepted" if answer["accepted"] else ""
                click.echo(f"  {answer['similarity']:6.3f}  {answer['person']}  {mark}".rstrip())
    accepted = any(hit["accepted"] for each in found for hit in each["hits"])
    if as_json:
        click.echo(json.dumps({"far": far, "templates": templates, "probes": found, "left_out": left_out}))
    elif found:
        click.echo(f"of {templates} pictures; a stranger passes for {far * templates:.2g} of them on average")
    _end(left_out, len(found), as_json)
    sys.exit(0 if accepted else NO)


@main.command(epilog=EXIT_CODES)
@index_option
@click.argument("person")
def forget(index: str, person: str) -> None:
    """Remove PERSON and all their templates from the gallery, for good. Exit code 1: nobody of that name is there.

    \b
    Example:
      rim forget --index known "Jane Doe"
    """
    from rim_lightning.gallery import Gallery

    removed = Gallery(index, None).delete(person)
    click.echo(f"{removed} templates of {person} removed from {index}")
    sys.exit(0 if removed else NO)


@main.command(epilog=EXIT_CODES)
@_model_options
@click.argument("source", type=Place())
@click.argument("target", type=Place())
@click.option("--strip", is_flag=True, help="Bicubic, coarse, hallucinated, landmarks and parsing side by side.")
@click.option("--overwrite", is_flag=True, help="Write over files that are there.")
@aligned_option
@json_option
def hallucinate(
    model: Path, device: str, source: Path, target: Path, strip: bool, overwrite: bool, aligned: bool, as_json: bool
) -> None:
    """Write the sharp faces that the network makes of SOURCE, a picture or a folder, into TARGET, a PNG file or folder.

    \b
    Examples:
      rim hallucinate --model my_model cctv.png face.png
      rim hallucinate --model my_model cctv_folder faces_folder --strip
    """
    from PIL import Image

    from rim_lightning.face_strip import face_strip

    recognizer = _recognizer(model, device)
    paths = _pictures(source)
    single = not source.is_dir()
    if single and target.suffix.lower() != ".png":
        raise ValueError(f"{target} does not end in .png: the face of one picture is written as a PNG file.")
    targets = [target if single else (target / path.relative_to(source)).with_suffix(".png") for path in paths]
    _check_targets(source, paths, target, targets, overwrite)
    written, left_out = [], {}
    for path, file in zip(_progress(paths, "hallucinating"), targets, strict=True):
        try:
            faces = recognizer.hallucinate(path, aligned)
            pixels = (faces.sr[0].permute(1, 2, 0) * 255).round().byte().numpy()
            _save(face_strip(faces, 0) if strip else Image.fromarray(pixels), file)
        except OutOfSpace as error:
            done = f"{len(written)} of {len(paths)} faces were written before it. Make space, then give"
            raise OutOfSpace(f"{error} {done} the rest again.") from error
        except (OSError, ValueError) as error:
            left_out[str(path)] = _sentence(error)
            continue
        written.append({"picture": str(path), "face": str(file), "size": round(float(faces.size[0]), 1)})
    if as_json:
        click.echo(json.dumps({"written": written, "left_out": left_out}))
    else:
        click.echo(f"{len(written)} of {len(paths)} faces written to {target}")
    _end(left_out, len(written), as_json)


@main.command(epilog=EXIT_CODES)
@_model_options
@click.option("--index", "-i", help="Gallery to search.")
@click.option("--port", default=7860, show_default=True, help="Of this machine; nobody else can reach it.")
def page(model: Path, device: str, index: str | None, port: int) -> None:
    """Show a page in the browser: compare two pictures, search the gallery, see how small a face may get.

    \b
    Example:
      rim page --model my_model --index known
    """
    from rim_lightning.page import serve

    recognizer = _recognizer(model, device)
    serve(recognizer, _gallery(index, recognizer) if index else None, port)


@main.command(epilog=EXIT_CODES)
@click.argument("checkpoint", type=Place())
@click.argument("folder", type=Place())
@click.option(
    "--people",
    type=Place(),
    help="Prepared set of people (rim-prepare) whom nothing was trained on: thresholds are chosen on them.",
)
@click.option("--split", default="val", show_default=True, help="Part of that set.")
@click.option("--onnx/--no-onnx", default=True, show_default=True, help="Write ONNX files too.")
def export(checkpoint: Path, folder: Path, people: Path | None, split: str, onnx: bool) -> None:
    """Make FOLDER of a CHECKPOINT of rim-train: weights, card, thresholds, ONNX files.

    Without --people the model has no thresholds, and `rim verify` refuses it.

    \b
    Example:
      rim export outputs/real_128/checkpoints/last.ckpt my_model --people prepared/celeba_128
    """
    import hashlib

    from rim_lightning.calibration import calibrate
    from rim_lightning.data.dataset import FaceDataset
    from rim_lightning.data.packed import open_store
    from rim_lightning.data.store import MANIFEST
    from rim_lightning.model_folder import write_model
    from rim_lightning.networks.trained import load_rim

    if folder.exists():
        raise FileExistsError(f"{folder} is there already: give another folder, or remove it.")
    rim = load_rim(checkpoint)
    calibration = None
    if people is not None:
        store = open_store(people)
        if store.hr_size != rim.hr_size:
            raise ValueError(f"{people} has faces of {store.hr_size} px, the model takes {rim.hr_size} px.")
        digest = hashlib.sha256((people / MANIFEST).read_bytes()).hexdigest()
        calibration = calibrate(rim, FaceDataset(store, split), f"{people.name}, {split}", digest)
    about = {"checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(), "metrics": _metrics(checkpoint)}
    write_model(folder, rim, calibration, about, onnx)
    click.echo(f"Model: {folder}")
    if calibration is None:
        click.echo("It has no thresholds: give --people to choose them.")
    else:
        usable = ", ".join(f"{far:g}" for far in calibration.usable_fars()) or "none: more people are needed"
        click.echo(f"It has thresholds for a FAR of: {usable}")


@main.command(epilog=EXIT_CODES)
@click.argument("model", type=Place())
@json_option
def info(model: Path, as_json: bool) -> None:
    """What the card of MODEL, a model folder, says.

    \b
    Example:
      rim info my_model
    """
    from rim_lightning.model_folder import read_card

    card = read_card(model)
    if as_json:
        click.echo(json.dumps(card))
        return
    arguments = card["architecture"]["arguments"]
    click.echo(f"RIM, {arguments['lr_size']} -> {arguments['hr_size']} px, fingerprint {card['fingerprint']}")
    click.echo(f"files: {', '.join(card['files'])}")
    plain = card["calibration"]
    if plain is None:
        click.echo("no thresholds: rim export --people chooses them")
    else:
        click.echo(
            f"thresholds chosen on {plain['people']} people of {plain['faces']}, {plain['genuine']:,} genuine and "
            f"{plain['impostors']:,} impostor pairs; share of true pairs refused:"
        )
        click.echo("  probe    " + "".join(f"FAR {far:<9g}" for far in plain["fars"]))
        for size, row in zip(plain["sizes"], plain["points"][0][0], strict=True):
            cells = ["–" if point is None else f"{point[1]:.1%}" for point in row]
            click.echo(f"  {size:>3} px   " + "".join(f"{cell:<13}" for cell in cells))
        _tell_of_templates(plain, arguments["lr_size"])
    click.echo(card["licence"])
    for limit in card["limits"]:
        click.echo(f"- {limit}")


def _recognizer(model: Path, device: str) -> Recognizer:
    import torch

    from rim_lightning.recognizer import Recognizer

    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ValueError(f"--device {device} is none that PyTorch knows: give cpu, cuda or cuda:1.") from None
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {device}, but PyTorch finds no such CUDA device here: give --device cpu.")
    return Recognizer.from_checkpoint(model, device=device)


def _gallery(index: str, recognizer: Recognizer, create: bool = False) -> Gallery:
    from rim_lightning.gallery import Gallery

    return Gallery(index, recognizer.fingerprint, recognizer.embedding_size, create)


def _enroll_embedded(fingerprint: str | None, index: str, folder: Path, as_json: bool) -> None:
    """`enroll` for what rim-embed wrote; of the model of that fingerprint, if one is given."""
    from rim_lightning.embedded_folder import EmbeddedFolder
    from rim_lightning.enrolment import check_embedded, enrol_embedded
    from rim_lightning.gallery import Gallery
    from rim_lightning.recognizer import SHARP

    embedded = EmbeddedFolder(folder)
    made_by = embedded.manifest.model
    check_embedded(embedded, fingerprint or made_by)  # before a gallery is made
    gallery = Gallery(index, made_by, embedded.manifest.embedding_size, create=True)
    done = enrol_embedded(gallery, embedded, lambda numbers: _progress(numbers, "enrolling", "file"))
    people = len(gallery.people())
    if as_json:
        click.echo(json.dumps(done._asdict() | {"templates": len(gallery), "people": people}))
    else:
        if done.several:
            click.echo(f"pictures with several faces, of which the largest was taken: {done.several}", err=True)
        if done.small:
            size = SHARP * embedded.manifest.hr_size
            click.echo(
                f"pictures with a face of less than {size:.0f} px, which is no sharp one: {done.small}", err=True
            )
        if done.left_out:
            click.echo(f"pictures that rim-embed has left out: {done.left_out}", err=True)
        click.echo(f"{done.added} pictures added, {done.known} were known; {people} people in {index}")
    if done.left_out:
        sys.exit(SOME if done.added + done.known else WRONG)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _pictures(path: Path) -> list[Path]:
    from rim_lightning.data.images import image_files

    return image_files(path) if path.is_dir() else [path]


def _faces(recognizer: Recognizer, path: Path, aligned: bool, left_out: dict[str, str]) -> list[AlignedFace]:
    """The faces of a picture, or of those of a folder that can be used."""
    if not path.is_dir():
        return recognizer.align(path, aligned)
    faces = []
    for picture in _pictures(path):
        try:
            faces += recognizer.align(picture, aligned)
        except (OSError, ValueError) as error:
            left_out[str(picture)] = _sentence(error)
    if not faces:
        raise ValueError(f"{path} holds no picture that can be used: {next(iter(left_out.values()))}")
    return faces


def _check_targets(source: Path, paths: list[Path], target: Path, targets: list[Path], overwrite: bool) -> None:
    """Nothing that was given is written over, nor anything else unless that is wanted."""
    sources = {path.resolve() for path in paths}
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies in {source}, whose pictures are read: give another folder.")
    seen: dict[Path, Path] = {}
    for path, file in zip(paths, targets, strict=True):
        if file in seen:
            raise ValueError(f"{seen[file]} and {path} would both be written to {file}: rename one of them.")
        if file.resolve() in sources:
            raise ValueError(f"{file} would be written over, but it is a picture that is read: give another place.")
        if file.exists() and not overwrite:
            raise ValueError(f"{file} is there already: give another place, or --overwrite.")
        seen[file] = path


def _save(picture: Image.Image, file: Path) -> None:
    """Whole, or not at all; raises OSError, and on a full disk OutOfSpace."""
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(part, "PNG")
        part.replace(file)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"{file} cannot be written: there is no space left.") from error
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        part.unlink(missing_ok=True)


def _metrics(checkpoint: Path) -> dict[str, Any]:
    """Figures of the run, which are those of its last checkpoint."""
    run = checkpoint.parent.parent
    file = run / "metrics.json"
    if checkpoint.name != "last.ckpt" or not (run / "config.yaml").is_file() or not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} does not hold the figures of a run: remove it.") from error


def _progress(items: Sequence[Result], title: str, unit: str = "picture") -> Iterator[Result]:
    from tqdm import tqdm

    return tqdm(items, desc=title, unit=unit, leave=False, disable=len(items) == 1 or not sys.stderr.isatty())


def _tell_of_many(faces: list[AlignedFace]) -> None:
    for face in faces:
        if face.faces > 1:
            click.echo(f"{face.name} shows {face.faces} faces: the largest was taken", err=True)


def _tell_of_templates(plain: dict[str, Any], size: int) -> None:
    """What several pictures of a person are worth, at the FAR next to that of `rim verify`."""
    from rim_lightning.calibration import Calibration

    calibration = Calibration.from_plain(plain)
    fars = calibration.usable_fars()
    if len(calibration.counts) == 1 or not fars:
        return
    far = min(fars, key=lambda each: abs(math.log(each / DEFAULT_FAR)))
    click.echo(f"  the same at {size} px and FAR {far:g} where pictures are pooled into templates:")
    click.echo("  probes   " + "".join(f"gallery {count:<5}" for count in calibration.counts))
    for probes in calibration.counts:
        rates = [calibration.at(size, far, probes, gallery).frr for gallery in calibration.counts]
        click.echo(f"  {probes:>3}      " + "".join(f"{f'{rate:.1%}':<13}" for rate in rates))


def _name(left_out: dict[str, str]) -> None:
    for why in left_out.values():
        click.echo(f"left out: {why}", err=True)


def _end(left_out: dict[str, str], done: int, as_json: bool) -> None:
    """Names what was left out; exits with what became of the whole."""
    if not as_json:
        _name(left_out)
    if left_out:
        sys.exit(SOME if done else WRONG)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the file'}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    main()
