"""Values as Hydra reads them back, judged by Hydra's own parser."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from rim_lightning.runs.overrides import override, quoted, unquoted

TEXTS = [
    "/jos\u00e9", "/a=b", "/a,b", "/a b", "/it's", '/a"b', "/a[b]", "/a{b}", "/a(b)", "/a$b", "/a$b{c}", "/a#b", "-x",
    "/a\nb", "/a\\", "/a\\'b", "/a\\\\b", "/a\udcc3b", "", "~", "null", "1", "1e3", "true", "a:b", " x ",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_hydra_reads_back_what_was_quoted(text):
    for written in (override("paths.data_dir", text), f"x={{path: {quoted(text)}}}"):
        value = OverridesParser.create().parse_override(written).value()
        value = value["path"] if isinstance(value, dict) else value
        assert str(value) == text
        assert isinstance(value, str) or hasattr(value, "text")
        assert OmegaConf.create({"path": str(value)}).path == text


def test_numbers_and_mappings():
    assert override("seed", 3) == "seed=3"
    assert override("weights", {"path": "/a b"}) == "weights={path: '/a b'}"


def test_a_reference_is_refused():
    with pytest.raises(ValueError, match=r'^/a\$\{b\} holds "\$\{", which Hydra reads as a reference'):
        quoted("/a${b}")


def test_people_read_settings_without_quotes():
    assert unquoted("+data.path='/a b'") == ("data.path", "/a b")
    assert unquoted('name="x=y"') == ("name", "x=y")
    assert unquoted("seed=1") == ("seed", "1")
