"""JSON of somebody else: one sentence for whatever no reader here could use."""

import os
import re

import pytest

from rim_lightning.json_files import DEEPEST, read_json


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"a": {"b": [1, NaN]}}', r"a\.b\[1\] is NaN, which is no number"),
        ('{"a": -Infinity}', "a is -Infinity, which is no number"),
        ("[1e999]", r"\[0\] is 1e999, which is no number"),
        ('{"a": ' + "9" * 30 + "}", f"a is {'9' * 30}, which is no number"),
        ('{"a": ' + "9" * 9000 + "}", r"a is 9{20}… \(9000 digits\), which is no number"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested too deeply"),
        (b'{"a": "\xff"}', "is damaged, it is no JSON file"),
        ("{", "is damaged, it is no JSON file"),
        ("", "is damaged, it is no JSON file"),
        ("NaN", "the content is NaN"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path, content, sentence):
    file = tmp_path / "card.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=sentence) as raised:
        read_json(file, object)
    assert str(raised.value).startswith(str(file))
    assert str(raised.value).endswith(": remove it, or make it again.")


def test_another_kind_of_content_is_refused(tmp_path):
    file = tmp_path / "card.json"
    for content, kind, sentence in (("[1]", dict, "holds no names and values"), ("{}", list, "holds no list")):
        file.write_text(content)
        with pytest.raises(ValueError, match=f"{re.escape(str(file))} {sentence}"):
            read_json(file, kind)


def test_what_can_be_used_is_read(tmp_path):
    file = tmp_path / "card.json"
    file.write_text('{"a": [1e308, -9223372036854775808, 1.5, null, true, "NaN"]}')
    assert read_json(file, dict) == {"a": [1e308, -(2**63), 1.5, None, True, "NaN"]}
    file.write_text("[" * DEEPEST + "]" * DEEPEST)
    read_json(file, list)


def test_size_and_kind_of_the_file_are_bounded(tmp_path):
    file = tmp_path / "card.json"
    file.write_text("[1]")
    with pytest.raises(ValueError, match=r"card.json has more than 2 bytes"):
        read_json(file, list, largest=2)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="pipe is a device or a pipe"):
            read_json(tmp_path / "pipe", list)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "missing", list)
