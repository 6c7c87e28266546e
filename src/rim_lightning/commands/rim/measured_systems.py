"""The systems that `rim measure` compares: what they are, what they are measured on, and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rim_lightning.commands.rim.answer_table import Command
from rim_lightning.commands.rim.options import Place
from rim_lightning.commands.settings_rules import REDUCTIONS
from rim_lightning.inference.default_model import names_model

if TYPE_CHECKING:
    from torch import Tensor

    from rim_lightning.data.pairs import Pair
    from rim_lightning.data.stores.prepared import PreparedStore
    from rim_lightning.evaluation.embedding_files import EmbeddedFaces
    from rim_lightning.evaluation.judged_pairs import JudgedPairs
    from rim_lightning.evaluation.store_embeddings import Reader, StoreProbes

SCALE = click.FloatRange(0, min_open=True)


class Embedding(NamedTuple):
    """How models and ONNX files embed faces.

    Attributes:
        store: Prepared store; None if there are neither models nor ONNX files.
        probe_size: Side of the probes of that store in pixels; None for sharp ones.
        degradation: How the probes are made.
        misalignment: How they are moved; "none" for not at all.
        bgr: True if the ONNX files take blue, green, red.
        mean: They take (level - mean) / scale.
        scale: See `mean`.
    """

    store: Path | None
    probe_size: int | None
    degradation: str
    misalignment: str
    bgr: bool
    mean: float
    scale: float

    def probes(self) -> StoreProbes | None:
        """Return the probes that are made of the faces of the store; None for sharp faces."""
        from rim_lightning.evaluation.store_embeddings import StoreProbes
        from rim_lightning.functional.seeded_probes import ProbeKind

        if self.probe_size is None:
            return None
        kind = ProbeKind(self.degradation, None if self.misalignment == "none" else self.misalignment)
        return StoreProbes(self.probe_size, kind)


class NamedSystem(NamedTuple):
    """A system as the command line names it.

    Attributes:
        name: Name for people.
        files: One file of scores or embeddings, one of gallery and one of probe embeddings, or a model.
    """

    name: str
    files: tuple[Path, ...]


class PairSource(NamedTuple):
    """What says which pairs are measured.

    Attributes:
        pairs: List of pairs for embeddings; None compares all pictures.
        templates: List of the pictures of each template; None compares single pictures.
        pictures: Table that names the rows of `.npy` files.
        listed: The pairs of the list.
        store: Store that models and ONNX files embed; None if there are none.
        probes: How probes are made of its faces; None for sharp faces.
        readers: What embeds the store, by the place of the model or ONNX file.
    """

    pairs: Path | None
    templates: Path | None
    pictures: Path | None
    listed: Sequence[Pair]
    store: PreparedStore | None
    probes: StoreProbes | None
    readers: Mapping[Path, Reader]


def embedder_options(command: Command) -> Command:
    """Add the options of models and ONNX files to a command, which gets them as one `Embedding`."""

    @wraps(command)
    def with_embedder(**values: Any) -> Any:
        chosen = {name: values.pop(name) for name in Embedding._fields}
        return command(embedder=Embedding(**chosen), **values)

    with_options: Any = with_embedder
    for option in reversed(
        (
            click.option("--store", type=Place(), help="Prepared store, which models and .onnx files embed."),
            click.option("--probe-size", type=click.IntRange(7), help="Side of its probes in pixels, as in rim-eval."),
            click.option(
                "--degradation",
                type=click.Choice(REDUCTIONS),
                default=REDUCTIONS[0],
                show_default=True,
                help="How these probes are made, the same pixels for every system.",
            ),
            click.option(
                "--misalignment",
                type=click.Choice(("none", "detector")),
                default="none",
                show_default=True,
                help="Move these probes as by the points of a detector.",
            ),
            click.option("--bgr", is_flag=True, help="The .onnx file takes blue, green, red."),
            click.option("--mean", default=127.5, show_default=True, help="It takes (level - mean) / scale."),
            click.option("--scale", type=SCALE, default=127.5, show_default=True, help="See --mean."),
        )
    ):
        with_options = option(with_options)
    return with_options


def _listed(pairs: Path | None, templates: Path | None) -> Sequence[Pair]:
    """Read the list of pairs of pictures, if there is one."""
    from rim_lightning.evaluation.judged_pairs import read_pair_list

    if templates is not None and pairs is None:
        raise click.UsageError("--templates needs the pairs of templates: --pairs, '<template> <template> <label>'.")
    return [] if pairs is None or templates is not None else read_pair_list(pairs)


def open_source(
    systems: Sequence[NamedSystem], pairs: Path | None, templates: Path | None, pictures: Path | None, chosen: Embedding
) -> PairSource:
    """Open everything that systems are measured on and by, before anything is computed."""
    from rim_lightning.data.stores.packed import open_store
    from rim_lightning.evaluation.store_embeddings import check_names

    listed = _listed(pairs, templates)
    if chosen.store is None:
        return PairSource(pairs, templates, pictures, listed, None, None, {})
    store, probes = open_store(chosen.store), chosen.probes()
    if probes is not None:
        probes.check(store)
    check_names(store, [name for pair in listed for name in (pair.gallery, pair.probe)])
    embedders = [file for system in systems for file in system.files if _is_onnx(file) or names_model(file)]
    readers = {file: _reader(file, chosen, store, templates is not None) for file in embedders}
    return PairSource(pairs, templates, pictures, listed, store, probes, readers)


def _reader(file: Path, chosen: Embedding, store: PreparedStore, pools: bool) -> Reader:
    """Open a model or an ONNX file, whose embeddings may be pooled to templates."""
    from rim_lightning.evaluation.onnx_embeddings import NetworkInput, onnx_reader
    from rim_lightning.evaluation.store_embeddings import rim_reader

    if _is_onnx(file):
        return onnx_reader(file, NetworkInput(chosen.bgr, chosen.mean, chosen.scale), store)
    from rim_lightning.comparison.laboratory.readings import Side
    from rim_lightning.inference.recognizer import Recognizer

    embedder = Recognizer.from_checkpoint(file).embedder
    if pools and embedder.usage.reduced_gallery is not None:
        raise ValueError(f"{file} looks twice at each gallery picture, which --templates cannot pool: leave it out.")
    sizes = Side(None, "native").sizes if chosen.probe_size is None else chosen.probe_size
    return rim_reader(embedder, file, store, sizes)


def named_systems(texts: Sequence[str]) -> list[NamedSystem]:
    """Read the arguments. A file whose name holds = or , is taken as it is."""
    systems = []
    for text in texts:
        name, equals, place = text.partition("=")
        if Path(text).exists() or not equals:
            name, place = "", text
        files = (Path(place),) if Path(place).exists() else tuple(Path(part) for part in place.split(","))
        if len(files) > 2 or not all(str(file).strip() and file.name for file in files):
            raise click.UsageError(f"'{text}' names no file, or more than two: give NAME=FILE or NAME=FILE,PROBES.")
        systems.append(NamedSystem(name or files[0].stem, files))
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise click.UsageError(f"Two systems are called {max(names, key=names.count)}: name them, NAME=FILE.")
    return systems


def judge_systems(
    systems: Sequence[NamedSystem], source: PairSource
) -> tuple[dict[str, JudgedPairs], dict[str, tuple[Tensor, Tensor, Tensor] | None]]:
    """Read the scores of each system; and those of a search, where all pictures of known people are compared."""
    slow_last = sorted(systems, key=lambda system: system.files[-1] in source.readers)  # a wrong file is refused early
    scored = {system.name: _scores_of(system, source) for system in slow_last}
    judged = {system.name: scored[system.name][0] for system in systems}
    for system in systems:
        if fault := judged[system.name].differs_from(judged[systems[0].name]):
            raise ValueError(
                f"{system.files[0]} has {fault} of {systems[0].files[0]}: systems are compared on the same pairs in "
                "the same order."
            )
    return judged, {name: search for name, (_, search) in scored.items()}


def _scores_of(system: NamedSystem, source: PairSource) -> tuple[JudgedPairs, tuple[Tensor, Tensor, Tensor] | None]:
    from rim_lightning.evaluation.judged_pairs import judge_everybody, judge_pairs, read_scores, search_scores
    from rim_lightning.evaluation.template_pairs import judge_template_pairs, pool_templates

    if _has_scores(system):
        if len(system.files) > 1 or any((source.pairs, source.templates, source.pictures)):
            raise click.UsageError(
                f"{system.files[0]} has scores already: leave PROBES, --pairs, --templates and --pictures out."
            )
        return read_scores(system.files[0]), None
    gallery, probe = _sides(system, source)
    if gallery.embeddings.shape[1] != probe.embeddings.shape[1]:
        raise ValueError(
            f"{system.files[0]} has embeddings of {gallery.embeddings.shape[1]} numbers, {system.files[1]} of "
            f"{probe.embeddings.shape[1]}: they are not of one system."
        )
    where = " and ".join(map(str, system.files))
    if source.pairs is not None and source.templates is not None:
        gallery, probe = (pool_templates(faces, source.templates) for faces in (gallery, probe))
        return judge_template_pairs(gallery, probe, source.pairs), None
    if source.pairs is not None:
        return judge_pairs(gallery, probe, source.listed, str(source.pairs)), None
    return judge_everybody(gallery, probe, where), search_scores(gallery, probe)


def _sides(system: NamedSystem, source: PairSource) -> tuple[EmbeddedFaces, EmbeddedFaces]:
    """Read or compute the embeddings of gallery and probes. They are one object if they do not differ."""
    from rim_lightning.evaluation.embedding_files import read_embeddings
    from rim_lightning.evaluation.store_embeddings import embed_store

    first, last = system.files[0], system.files[-1]
    names: tuple[set[str] | None, set[str] | None] = (None, None)
    if source.listed:
        names = ({pair.gallery for pair in source.listed}, {pair.probe for pair in source.listed})
    reader = source.readers.get(last)
    two_ways = reader is not None and (source.probes is not None or reader.gallery != reader.probe)
    differ = len(system.files) > 1 or two_ways
    if not differ:
        names = (None if names[0] is None or names[1] is None else names[0] | names[1], None)

    def read(file: Path, side: int) -> EmbeddedFaces:
        if source.store is None or file not in source.readers:
            return read_embeddings(file, source.pictures)
        embed = source.readers[file].gallery if side == 0 else source.readers[file].probe
        return embed_store(embed, source.store, str(file), source.probes if side else None, names[side])

    gallery = read(first, 0)
    return gallery, read(last, 1) if differ else gallery


def _has_scores(system: NamedSystem) -> bool:
    return system.files[0].suffix.lower() in (".csv", ".tsv", ".txt")


def _is_onnx(file: Path) -> bool:
    return file.suffix.lower() == ".onnx"


def check_store_options(systems: Sequence[NamedSystem], embedder: Embedding) -> None:
    """Raise UsageError if models, ONNX files and their options do not go together."""
    files = [file for system in systems for file in system.files]
    models = [file for file in files if _is_onnx(file) or names_model(file)]
    for system in systems:
        if len(system.files) > 1 and any(names_model(file) for file in system.files):
            raise click.UsageError(
                f"{', '.join(map(str, system.files))}: a model of RIM reads gallery and probes, so give it alone."
            )
    if embedder.store is not None:
        missing = [file for file in files if file not in models and not file.exists()]
        if missing:
            raise FileNotFoundError(
                f"{missing[0]} does not exist; expected a model folder, a checkpoint, an .onnx file or embeddings "
                "there."
            )
    if models and embedder.store is None:
        raise click.UsageError(f"{models[0]} needs faces to embed: --store, a folder of rim-prepare.")
    if not models and embedder.store is not None:
        raise click.UsageError("--store is embedded by an .onnx file or a model, and none is given.")
    changed = embedder.degradation != REDUCTIONS[0] or embedder.misalignment != "none"
    if embedder.store is None and (changed or embedder.probe_size is not None):
        raise click.UsageError(
            "--probe-size, --degradation and --misalignment need --store: scores and embeddings in files are of "
            "probes already."
        )
    if changed and embedder.probe_size is None:
        raise click.UsageError("--degradation and --misalignment are those of probes: add --probe-size.")


def facts_of_store(systems: Sequence[NamedSystem], source: PairSource) -> dict[str, Any]:
    """Return which faces and probes models and ONNX files embedded; nothing without them."""
    from rim_lightning.files import real_path

    if source.store is None:
        return {}
    probes = source.probes
    reduced = {
        system.name: source.readers[file].side
        for system in systems
        for file in system.files
        if file in source.readers and source.readers[file].side is not None
    }
    return {
        "store": real_path(source.store.path).name,
        "face_size": source.store.hr_size,
        "probe_size": None if probes is None else probes.size,
        "probes": "the faces themselves" if probes is None else probes.kind.in_words(),
        "reduced_to": reduced,
    }


def sentences_of_store(facts: Mapping[str, Any]) -> list[str]:
    """Return what `facts_of_store` says in sentences."""
    if "store" not in facts:
        return []
    made = "the faces themselves" if facts["probe_size"] is None else f"of {facts['probe_size']} px, {facts['probes']}"
    return [
        f"Models and ONNX files read the faces of {facts['store']}, {facts['face_size']} px; probes: {made}.",
        *(f"{name} takes faces of {side} px: they are reduced to that." for name, side in facts["reduced_to"].items()),
    ]
