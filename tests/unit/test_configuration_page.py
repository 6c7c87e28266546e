"""docs/configuration.md is what docs/configuration.py makes of conf/."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def configuration():
    spec = importlib.util.spec_from_file_location("configuration", DOCS / "configuration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_page_is_current(configuration):
    assert (DOCS / "configuration.md").read_text() == configuration.page(), (
        "conf/ was changed: run `python docs/configuration.py`"
    )


def test_every_option_and_every_run_command_is_on_the_page(configuration):
    page = configuration.page()
    for file in configuration.CONF.rglob("*.yaml"):
        group = file.parent.relative_to(configuration.CONF).as_posix()
        assert f"### {f'{group}={file.stem}' if group != '.' else f'rim-{file.stem}'}\n" in page
        if group == "experiment":
            command = file.read_text().splitlines()[1].removeprefix("# ")
            assert command.startswith(f"rim-train experiment={file.stem}")
            assert f"```\n{command}\n```" in page


def test_settings_with_their_values_types_and_comments(configuration):
    text = """\
# @package here
# About the file.
defaults: [base, _self_, {/other@there: option}]
_target_: package.Class
number: 2.0e-3 # a | b <c>
empty: null
deep:
  # Above, and
  flag: true # behind.
  given: ???
built: {_target_: package.function, size: "${number}"} # with a #
items: # `a_b` and _c_
  - 1 # the first
  - "two"
"""
    file = configuration.File(text, "group")
    assert file.header == ["About the file."]
    assert file.defaults() == (["base"], ["+other@there=option"])
    assert list(file.settings()) == [
        ("here.number", "`2.0e-3`", "number", r"a \| b \<c\>"),
        ("here.empty", "`null`", "", ""),
        ("here.deep.flag", "`true`", "true or false", "Above, and behind."),
        ("here.deep.given", "`???`", "", ""),
        ("here.built", "", "", "Arguments of `package.function`. with a #"),
        ("here.built.size", '`"${number}"`', "", ""),
        ("here.items", '`1`<br>`"two"`', "list", r"`a_b` and \_c\_"),
    ]


def test_long_parts_are_shown_as_they_are_written(configuration):
    text = f"short: 1\nlong:\n  a: {'x' * 80} # why\n\n# of the next\nnext: 2\n"
    assert configuration.File(text, "group").tables({}) == (
        "| setting | default | type | meaning |\n|---|---|---|---|\n"
        "| `group.short` | `1` | integer |  |\n| `group.next` | `2` | integer | of the next |\n\n"
        f"```yaml\nlong:\n  a: {'x' * 80} # why\n```\n"
    )


def test_docstrings_explain_what_has_no_comment(configuration):
    arguments = configuration.arguments
    of_landmarks = arguments("rim_lightning.losses.landmark.LandmarkLoss")
    assert set(of_landmarks) == {"sigma", "kind"}
    assert of_landmarks["sigma"] == "Standard deviation of the target Gaussians in pixels of the heatmap."
    augmentation = arguments("rim_lightning.data.augmentation.FaceAugmentation")
    assert augmentation["brightness"] == "Largest relative change of the brightness."
    assert augmentation["contrast"] == "Largest relative change of the contrast."
    of_rim, of_all = (
        arguments(f"rim_lightning.training.{name}") for name in ("rim_module.RIMModule", "phased_module.PhasedModule")
    )
    assert of_rim["clip"] == of_all["clip"]
    assert not any(text.lower().startswith("see `") for text in of_rim.values())
    assert arguments("torch.optim.AdamW") == {}
    text = "loss: {_target_: rim_lightning.losses.landmark.LandmarkLoss, sigma: 1.5}\nother: {sigma: 2}\n"
    meanings = [each.meaning for each in configuration.File(text, "group").settings()]
    assert meanings == ["Arguments of `rim_lightning.losses.landmark.LandmarkLoss`.", of_landmarks["sigma"], ""]


def test_meanings_come_from_where_a_value_refers_to_and_from_other_options(configuration):
    file = configuration.File('a: "${there.b}"\nc: 1\nd: 2 # own\n', "group")
    meanings = {"there.b": "of b", "group.a": "of a", "group.c": "of c", "group.d": "of d"}
    assert [row.split(" | ")[-1] for row in file.tables(meanings).splitlines()[2:]] == ["of b |", "of c |", "own |"]


def test_names_begin_where_the_file_stands(configuration):
    def name(group, *lines):
        return next(configuration.File("\n".join([*lines, "a: 1"]), group).settings()).name

    assert name("") == name("grid", "# @package _global_") == "a"
    assert name("launcher", "# @package hydra.launcher") == "hydra.launcher.a"
    assert name("hydra/sweeper") == "hydra.sweeper.a"
    assert name("classifier") == "system.classifier.a"
