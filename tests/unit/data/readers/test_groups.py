"""Groups of people: a table with a person and a group."""

import re

import pytest

from rim_lightning.data.readers.groups import read_groups


def test_a_table_of_groups(tmp_path):
    file = tmp_path / "people.csv"
    file.write_text('person,group\n"Doe, Jane",women\n\nJohn Roe , men\nJohn Roe,men\n', encoding="utf-8")
    assert read_groups(file) == {"Doe, Jane": "women", "John Roe": "men"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "people.csv does not begin with the header person,group."),
        ("name,group\na,b\n", "people.csv does not begin with the header person,group."),
        ("person,group\na,b\nc\n", "people.csv line 3 is not 'person,group'."),
        ("person,group\na, \n", "people.csv line 2 is not 'person,group'."),
        ("person,group\na,b\na,c\n", "people.csv line 3 puts a into c, an earlier one into b."),
        ("person,group\na,b\nc,b\n", "people.csv has fewer than two groups: there is nothing to compare."),
    ],
)
def test_what_is_no_table_of_groups_gets_a_sentence(tmp_path, content, sentence):
    file = tmp_path / "people.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_groups(file)
