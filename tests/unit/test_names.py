"""Names of the package: American spelling, no two classes of one name, no two names that differ by one letter."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CONFIGURATION = sorted((ROOT / "conf").rglob("*.yaml"))
assert SOURCES
assert CONFIGURATION
FOLDERS = ("src", "conf", "tests", "benchmarks", "notebooks", "docs")

# Verbs and nouns in -ise that are American too.
AMERICAN_ISE = {
    *("advertise", "advise", "arise", "bruise", "comprise", "compromise", "concise", "cruise", "denoise", "despise"),
    *("devise", "disguise", "enterprise", "excise", "exercise", "expertise", "franchise", "imprecise", "improvise"),
    *("merchandise", "noise", "paradise", "poise", "praise", "precise", "premise", "promise", "raise", "revise"),
    *("supervise", "surprise", "televise", "turquoise"),
}
BRITISH = (
    r"(?:anal|paral|catal)ys(?:e|ed|er|ing)",
    r".*(?:col|behavi|neighb|fav|hon|lab|flav|harb|hum|rum|vap|od|arm|savi|endeav|vig|rig|tum)our.*",
    r"(?:re)?cent(?:re|res|red|ring)",
    r".*(?:met|lit|fib|calib|theat|spect|lust|meag)re(?:s|d)?",
    r"(?:un|sub)?licence[ds]?|defence|offence|pretence",
    r"(?:re|un)*(?:label|model|cancel|travel|level|signal|channel|panel|tunnel|fuel|marshal|total|equal)l(?:ed|er|ers|ing)",
    r"(?:un)?enrol(?:s|ment|ments)?|fulfil(?:s|ment)?|distil(?:s)?|instal(?:s|ment)?|skilful",
    r"gr[e]y(?:s|scale|ed)?|artefacts?|programmes?|cheques?|sceptic(?:al)?|(?:acknowledg|judg)ements?|analogues?|ageing",
    r"practis(?:e|ed|es|ing)|manoeuvre[ds]?|mould(?:s|ed)?|draughts?|aluminium|whilst|focuss(?:ed|ing)|biass(?:ed|ing)",
)

BRITISH_NAMES = """
normalise optimised_metric Recogniser initialiser organisation visualising customisable analyse colour behaviours
NeighbourSearch CentreLoss centred kilometres enrol enrolment labelled unlabelled modelling channelled grey_scale
to_grey licence artefact parsing_programme
"""
AMERICAN_NAMES = """
normalize raise_error noise otherwise precise exercise promises supervised pairwise rising miser revised disable
hour source four contour pretrained parameters enroll enrollment distill distillation label labeled channels
modeled agreed gray center license listed metric analysis analyses cancellation excellent surprised distance
crowded course this registered
"""

# Pairs of public names that differ by one letter, each with the reason why both may stay.
NEAR: dict[tuple[str, str], str] = {}


def words(identifier: str) -> list[str]:
    """Lower-case words of snake_case, CamelCase and kebab-case."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", identifier))
    return [word.lower() for word in re.split(r"[^A-Za-z]+", parted) if word]


def is_british(word: str) -> bool:
    stem = re.fullmatch(r"(.*..is)(?:e|ed|er|ers|es|ing|able|ation|ations)", word)
    if stem and not word.endswith("wise"):
        return stem[1] + "e" not in AMERICAN_ISE
    return any(re.fullmatch(pattern, word) for pattern in BRITISH)


def british(identifier: str) -> bool:
    return any(is_british(word) for word in words(identifier))


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module gives to something, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.alias(asname=str()):
                yield node.asname, node.lineno


def keys(content: object) -> Iterator[str]:
    """Every key of nested mappings and lists."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield str(key)
            yield from keys(value)
    elif isinstance(content, list):
        for value in content:
            yield from keys(value)


def public_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Public names of a module with their kinds: "class", "function" or "constant"."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, "class"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, "function"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            stored = (name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
            for name in stored:
                yield name.id, "constant" if name.id.isupper() else "class"


def differ_by_one_letter(first: str, second: str) -> bool:
    """Tell whether one letter is changed, added or missing. A changed digit, as in TABLE_1 and TABLE_2, is none."""
    short, long = sorted((first, second), key=len)
    if first == second or len(long) - len(short) > 1:
        return False
    same = next((place for place, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    equally_long = len(short) == len(long)
    if equally_long and short[same].isdigit() and long[same].isdigit():
        return False
    return short[same + equally_long :] == long[same + 1 :]


def near_pairs(modules: dict[str, ast.Module]) -> dict[tuple[str, str], str]:
    """Pairs of public names of one kind that differ by one letter, with the modules that define them."""
    homes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for module, tree in modules.items():
        for name, kind in public_names(tree):
            if not name.startswith("_") and len(name) > 1:  # T and P are variables of types
                homes[name, kind].add(module)
    near = {}
    for (first, kind), (second, other_kind) in combinations(sorted(homes), 2):
        if kind == other_kind and differ_by_one_letter(first, second):
            near[first, second] = f"{sorted(homes[first, kind])} and {sorted(homes[second, kind])}"
    return near


def classes_of_one_name(modules: dict[str, ast.Module]) -> dict[str, list[str]]:
    homes = defaultdict(list)
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(module)
    return {name: places for name, places in homes.items() if len(places) > 1}


@pytest.fixture(scope="module")
def modules():
    return {str(file.relative_to(ROOT / "src")): ast.parse(file.read_text()) for file in SOURCES}


def test_identifiers_are_american(modules):
    found = [
        f"{module}:{line} {name}"
        for module, tree in modules.items()
        for name, line in identifiers(tree)
        if british(name)
    ]
    assert not found, "\n".join(found)


def test_keys_of_the_configuration_are_american():
    found = [
        f"{file.relative_to(ROOT)} {key}"
        for file in CONFIGURATION
        for key in keys(yaml.safe_load(file.read_text()))
        if british(key)
    ]
    assert not found, "\n".join(found)


def test_names_of_files_are_american():
    files = [file.relative_to(ROOT) for folder in FOLDERS for file in (ROOT / folder).rglob("*.*")]
    assert len(files) > len(SOURCES)
    assert not [str(file) for file in files if any(british(part) for part in file.parts)]


def test_no_two_classes_have_one_name(modules):
    assert classes_of_one_name(modules) == {}


def test_no_two_public_names_differ_by_one_letter(modules):
    near = near_pairs(modules)
    assert {pair: place for pair, place in near.items() if pair not in NEAR} == {}
    assert set(NEAR) <= set(near), "an exception that nothing needs any more"


@pytest.mark.parametrize(
    "name",
    BRITISH_NAMES.split(),
)
def test_british_spelling_is_found(name):
    assert british(name)


@pytest.mark.parametrize(
    "name",
    AMERICAN_NAMES.split(),
)
def test_american_spelling_passes(name):
    assert not british(name)


def test_planted_mistakes_are_found():
    planted = ast.parse("""
class Recogniser:
    def __init__(self, colour):
        self.behaviour: int = colour

    async def analyse(self, *, centre=0, **licence):
        enrol = lambda grey: grey
        for labelled, fine in []:
            with open(fine) as artefact:
                import math as maths_programme
        return [favourite for favourite in (neighbours := [])]
""")
    found = {name for name, _ in identifiers(planted) if british(name)}
    expected = "Recogniser colour behaviour analyse centre licence enrol grey labelled artefact maths_programme"
    assert found == {*expected.split(), "favourite", "neighbours"}
    assert [key for key in keys({"a": [{"colour": 1}], "optimiser": {"lr": 2}}) if british(key)] == [
        "colour",
        "optimiser",
    ]


def test_planted_twins_are_found():
    one = ast.parse("class Recognizer: ...\nSIZES = (1,)\ndef sample_pairs(): ...\nTABLE_1 = 1\ndef _face(): ...")
    two = ast.parse("class Recogniser: ...\nSIZE: int = 1\ndef sampled_pairs(): ...\nTABLE_2 = 2\ndef _faces(): ...")
    three = ast.parse("class Recognizer: ...\ndef size(): ...\ndef sample(): ...")
    assert set(near_pairs({"one": one, "two": two})) == {
        ("Recogniser", "Recognizer"),
        ("SIZE", "SIZES"),
        ("sample_pairs", "sampled_pairs"),
    }
    assert near_pairs({"one": one, "three": three}) == {}
    assert classes_of_one_name({"one": one, "two": two, "three": three}) == {"Recognizer": ["one", "three"]}
