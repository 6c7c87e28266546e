"""Write docs/configuration.md, the reference of all settings: `python docs/configuration.py`.

It is made of the files in conf/, their comments, and the docstrings of the classes that the settings are arguments of.
"""

import inspect
import pydoc
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

DOCS = Path(__file__).resolve().parent
CONF = DOCS.parent / "conf"
PAGE = DOCS / "configuration.md"

INTRODUCTION = """\
# Configuration

<!-- Written by `python docs/configuration.py` out of conf/ and docstrings: change those, not this page. -->

Which settings are there, and what do they mean? All commands except `rim`, `rim-sweep` and `rim-pack` are configured by
[Hydra](https://hydra.cc): a root file, and one option of each group.

| on the command line | effect |
|---|---|
| `name=value` | change a setting |
| `group=option` | choose another file of a group |
| `+name=value` | add a setting that is not there |
| `~name` | remove a setting |
| `--cfg job` | print the settings that the command ends up with |

```
rim-train model=small optim.optimizers.student.lr=3e-4 data.batch_size=16
rim-train experiment=real_128 ~callbacks.ema
```

`${a.b}` stands for the value of the setting `a.b`. `???` marks a value that you must give. "Arguments of" names the
class or function that a part builds; its docstring explains the arguments. A run saves its settings as `config.yaml` in
its directory. For files of your own see [extending](extending.md).
"""
COMMANDS = ("train", "eval", "embed", "prepare", "compare", "speed")  # in the order of the page
GROUPS = {  # in the order of the page
    "experiment": "Whole runs of `rim-train`: each is a set of changes to `conf/train.yaml`.",
    "system": "The system that is trained: RIM, or one that it is compared with ([comparison](comparison.md)).",
    "model": "The networks: arguments of `rim_lightning.networks.rim.RIM`. Those of its parts are explained in the "
    "docstrings of `CoarseSR`, `TriPathGenerator`, `Pyramid` (the integrator), `DomainDiscriminator`, "
    "`RecognitionNetwork` and the backbones, all in `rim_lightning/networks/`.",
    "objective": "Losses and the weights of their terms ([method](method.md)).",
    "optim": "One optimizer for each phase of the training step.",
    "schedule": "The stages of a training in order, and the course of the learning rates.",
    "probes": "How training probes are made of sharp faces.",
    "teacher": "Where the teacher's weights come from, and how one is trained.",
    "data": "The training data ([data](data.md)).",
    "trainer": "Arguments of Lightning's `Trainer`, others of which can be added: `+trainer.limit_train_batches=200`.",
    "callbacks": "Callbacks of Lightning's `Trainer`; `~callbacks.<name>` removes one.",
    "logger": "Where figures are logged ([metrics](metrics.md)).",
    "evaluation": "What `rim-train` measures at its end, and what `rim-eval` measures.",
    "classifier": "Losses of systems that learn to tell the training people apart.",
    "launcher": "How the jobs of `rim-train -m` are run ([many GPUs](many_gpus.md)).",
    "hydra/help": "The form of `--help`; do not change it.",
    "hydra/launcher": "Set by `launcher`; do not change it.",
    "hydra/sweeper": "How the jobs of `rim-train -m` are chosen; without one, all combinations of the values run.",
    "source": "How a data set is read: `source=<option>` of `rim-prepare`, `+source@sources.<name>=<option>` of "
    "`rim-train`, which prepares it when it is missing.",
    "download": "Data sets that `rim-prepare download=<option>` fetches, if their files are missing "
    "([data](data.md#fetch-a-data-set)).",
    "protocol": "The sets of faces and pairs on which `rim-compare` measures.",
    "paths": "Where files lie.",
    "grid": "Tables of `rim-speed`: every entry of `rows` is a list of settings of `rim-train`.",
}
MOUNTED = {"classifier": "system.classifier"}  # where a group stands if not at its own name
BUILT = {  # parts without a _target_, and what they are arguments of
    "data": "rim_lightning.datamodules.faces.FaceDataModule",
    "model": "rim_lightning.networks.rim.RIM",
    "model.hallucination": "rim_lightning.networks.hallucination.network.HallucinationNetwork",
    "model.recognition": "rim_lightning.networks.recognition.RecognitionNetwork",
}
HIDDEN = {"_target_", "_partial_", "defaults"}
MARKUP = re.compile(r"([\\*<>\[\]|]|(?<!\w)_|_(?!\w))")
BREAK = "<br>"  # between the values of a list
LONGEST = 70  # characters of a value in a table; a part with a longer one is shown as it stands in its file
TYPES = {"int": "integer", "float": "number", "bool": "true or false", "str": "text", "seq": "list", "map": "mapping"}

Entries = list[tuple[yaml.Node, yaml.Node]]


class Setting(NamedTuple):
    """A row of a table.

    Attributes:
        name: Dotted name in full.
        value: Value as it is written, in Markdown; "" for a part with settings of its own.
        kind: Type of the value.
        meaning: The comment, in Markdown.
    """

    name: str
    value: str
    kind: str
    meaning: str


class File:
    """A file of conf/: its values with their places, and its comments.

    Args:
        text: Content of the file.
        group: Group that it is an option of; "" for a root file.
    """

    def __init__(self, text: str, group: str) -> None:
        self.text, self.group, self.lines = text, group, text.splitlines()
        root = yaml.compose(text)
        self.entries: Entries = root.value if root else []
        self.plain = yaml.safe_load(text) or {}
        self.ends: dict[int, int] = {}  # line -> where the last value on it ends
        for node in _inline(root) if root else ():
            end = node.end_mark
            self.ends[end.line] = max(end.column, self.ends.get(end.line, 0))
        self.head = self.entries[0][0].start_mark.line if self.entries else len(self.lines)
        above = [line.removeprefix("#").strip() for line in self.lines[: self.head] if line]
        packages = [line.split()[1] for line in above if line.startswith("@package")]
        self.header = [line for line in above if not line.startswith("@package")]
        place = packages[0] if packages else MOUNTED.get(group, group.replace("/", "."))
        self.prefix = f"{place}." if place not in ("", "_global_") else ""  # what the names of its settings begin with

    def settings(self) -> Iterator[Setting]:
        """Yield all settings of the file."""
        for entries, prefix in self._parts():
            yield from self._settings(entries, prefix, self._target(self.entries, prefix))

    def tables(self, meanings: Mapping[str, str]) -> str:
        """Return the settings in Markdown: a table, and parts that are too long for it as they stand in the file.

        Args:
            meanings: Setting -> meaning, for settings that this file does not explain.
        """
        meanings = meanings | _meanings(self)
        rows, long = [], []
        for entries, prefix in self._parts():
            settings = list(self._settings(entries, prefix, self._target(self.entries, prefix)))
            longest = max((len(part) for each in settings for part in each.value.split(BREAK)), default=0)
            if longest > LONGEST and _is_block(entries[0][1]):
                long += self._source(*entries[0])
            else:
                for each in settings:
                    referred = each.value.strip('`"${}') if "${" in each.value else ""
                    meaning = each.meaning or meanings.get(referred) or meanings.get(each.name, "")
                    rows.append(f"| `{each.name}` | {each.value} | {each.kind} | {meaning} |")
        table = ["| setting | default | type | meaning |", "|---|---|---|---|", *rows, ""] if rows else []
        return "\n".join(table + (["```yaml", *long, "```", ""] if long else []))

    def changes(self) -> str:
        """Return the file without its defaults and the comments at its top."""
        kept = [line for key, value in self.entries if key.value != "defaults" for line in self._source(key, value)]
        return "\n".join(["```yaml", *kept, "```", ""])

    def defaults(self) -> tuple[list[str], list[str]]:
        """Return the options of its group that it starts from, and the options that it chooses in other groups."""
        bases, chosen = [], []
        for entry in self.plain.get("defaults", ()):
            if isinstance(entry, str):
                bases += [entry] if entry != "_self_" else []
                continue
            ((group, option),) = entry.items()
            added = "+" if self.group and not group.startswith("override ") else ""
            group = group.removeprefix("override ").removeprefix("/")
            if option is not None and not group.endswith(("_logging", "/help")):
                chosen.append(f"{added}{group}={option}")
        return bases, chosen

    def _parts(self) -> Iterator[tuple[Entries, str]]:
        """Yield the entries at the top one by one with the prefix of their names; of `hydra` only the directories."""
        for key, value in self.entries:
            if key.value != "hydra":
                yield [(key, value)], self.prefix
                continue
            for name, part in value.value:
                if name.value in ("run", "sweep"):
                    yield part.value, f"hydra.{name.value}."

    def _target(self, entries: Entries, prefix: str) -> str | None:
        """Return the class or function whose arguments the entries are."""
        built = {key.value: value.value for key, value in entries}
        return built.get("_target_") or BUILT.get(prefix.removesuffix("."))

    def _settings(self, entries: Entries, prefix: str, target: str | None) -> Iterator[Setting]:
        explained = arguments(target) if target else {}
        for key, value in entries:
            name = prefix + key.value
            if key.value in HIDDEN:
                continue
            meaning = markdown(self._comment(key, value) or explained.get(key.value, ""))
            inside = {each.value: content for each, content in value.value} if _is_mapping(value) else {}
            if inside and (_is_block(value) or "_target_" in inside):
                built = f"Arguments of `{inside['_target_'].value}`." if "_target_" in inside else ""
                if built or meaning:
                    yield Setting(name, "", "", f"{built} {meaning}".strip())
                yield from self._settings(value.value, f"{name}.", self._target(value.value, f"{name}."))
            elif _is_block(value):
                yield Setting(name, BREAK.join(code(self._raw(item)) for item in value.value), "list", meaning)
            else:
                raw = self._raw(value)
                known = raw != "???" and "${" not in raw
                yield Setting(name, code(raw), TYPES.get(value.tag.rpartition(":")[2], "") if known else "", meaning)

    def _raw(self, node: yaml.Node) -> str:
        """Return a value as it is written, on one line."""
        return " ".join(self.text[node.start_mark.index : node.end_mark.index].split())

    def _source(self, key: yaml.Node, value: yaml.Node) -> list[str]:
        """Return the lines of an entry."""
        end = value.end_mark.line + (value.end_mark.column > 0)  # an indented part ends where the next entry begins
        lines = self.lines[key.start_mark.line : end]
        while not lines[-1] or lines[-1].startswith("#"):  # of the next entry
            lines.pop()
        return lines

    def _comment(self, key: yaml.Node, value: yaml.Node) -> str:
        """Return the comment above an entry and behind it at the end of the line."""
        above = []
        line = key.start_mark.line - 1
        while line >= self.head and re.match(rf"\s{{{key.start_mark.column}}}#", self.lines[line]):
            above.insert(0, self.lines[line].strip().removeprefix("#").strip())
            line -= 1
        end = (key if _is_block(value) else value).end_mark
        rest = self.lines[end.line][end.column :] if end.column == self.ends[end.line] else ""
        return " ".join(filter(None, [*above, rest.partition("#")[2].strip()]))


@cache
def arguments(target: str) -> dict[str, str]:
    """Read the Args section of a class or function of this package.

    Args:
        target: Dotted name. One of another package has no arguments here.

    Returns:
        Argument -> what its paragraph says. "See `name`." is replaced by the paragraph of that name.
    """
    built = pydoc.locate(target) if target.startswith("rim_lightning.") else None
    section = re.search(r"^Args:\n((?: {4}.*\n?)+)", inspect.getdoc(built) or "", re.MULTILINE) if built else None
    found = {}
    for paragraph in re.split(r"\n(?= {4}\S)", section[1]) if section else ():
        name, _, text = " ".join(paragraph.split()).partition(": ")
        elsewhere = re.match(r"See `(\w+)`", text)
        if elsewhere:
            other = getattr(inspect.getmodule(built), elsewhere[1])
            text = arguments(f"{other.__module__}.{other.__qualname__}").get(name, text)
        found[name] = text
    return found


def markdown(comment: str) -> str:
    """Escape a comment, so that only code in back quotes is markup."""
    parts = re.split(r"(`[^`]*`)", comment)
    return "".join(part if part.startswith("`") else MARKUP.sub(r"\\\1", part) for part in parts)


def code(value: str) -> str:
    """Return a value as code in a table."""
    escaped = value.replace("|", "\\|")
    return f"`{escaped}`"


def page() -> str:
    """Return the whole page."""
    commands = [path.stem for path in CONF.glob("*.yaml")]
    groups = {path.parent.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")} - {"."}
    training = _meanings(File((CONF / "train.yaml").read_text(), ""))
    parts = [INTRODUCTION, "## Commands\n"]
    for name in _ordered(commands, COMMANDS):
        parts += _command(f"{name}.yaml", training)
    for group in _ordered(groups, GROUPS):
        parts.append("\n".join([f"## {group}\n", *([GROUPS[group] + "\n"] if group in GROUPS else [])]))
        paths = sorted((CONF / group).glob("*.yaml"))
        meanings = dict(training)
        for path in paths:
            meanings = _meanings(File(path.read_text(), group)) | meanings
        for path in paths:
            parts += _option(group, path, meanings)
    return "\n".join(filter(None, parts))


def _ordered(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """Return the names that an order lists, in its order, then the others."""
    return [name for name in order if name in names] + sorted(set(names) - set(order))


def _meanings(file: File) -> dict[str, str]:
    """Return setting -> meaning for the settings that a file explains."""
    return {each.name: each.meaning for each in file.settings() if each.meaning}


def _command(name: str, meanings: Mapping[str, str]) -> list[str]:
    file = File((CONF / name).read_text(), "")
    shown = file.plain["hydra"]["help"]
    examples = shown["header"].partition("Examples:\n")[2].partition("\n\n")[0]
    about = " ".join(file.header).removeprefix(f"{shown['app_name']}: ")
    groups = ", ".join(map(code, file.defaults()[1]))
    return [
        f"### {shown['app_name']}\n",
        f"`conf/{name}`: {markdown(about)}\n",
        "\n".join(["```", *map(str.strip, examples.splitlines()), "```", ""]),
        f"Groups: {groups}.\n",
        file.tables(meanings),
    ]


def _option(group: str, path: Path, meanings: Mapping[str, str]) -> list[str]:
    file = File(path.read_text(), group)
    is_run = group == "experiment"
    command, about = (file.header[:1], file.header[1:]) if is_run else ([], file.header)
    bases, chosen = (", ".join(map(code, each)) for each in file.defaults())
    made = [f"Starts from {bases}."] if bases else []
    made += [f"Chooses {chosen}."] if chosen else []
    made += [f"Arguments of `{file.plain['_target_']}`."] if "_target_" in file.plain else []
    return [
        f"### {group}={path.stem}\n",
        markdown(" ".join(about)) + "\n" if about else "",
        "\n".join(["```", *command, "```", ""]) if command else "",
        " ".join(made) + "\n" if made else "",
        file.changes() if is_run else file.tables(meanings),
    ]


def _inline(node: yaml.Node) -> Iterator[yaml.Node]:
    """Yield every scalar, and every list and mapping in brackets: nodes that end where their text ends."""
    if not _is_block(node):
        yield node
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for each in child if isinstance(child, tuple) else (child,):
                yield from _inline(each)


def _is_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


def _is_block(node: yaml.Node) -> bool:
    """Return whether it is a mapping or a list of indented lines."""
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


if __name__ == "__main__":
    PAGE.write_text(page())
