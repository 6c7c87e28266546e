"""The rows of the tables fit the configuration."""

from rim_lightning.comparison.laboratory.readings import BICUBIC, TEACHER, Reading
from rim_lightning.comparison.paper.rows import TABLE_1, TABLE_2, TABLE_3, TABLE_4, systems_of
from tests.helpers.configurations import configuration


def test_every_system_of_the_tables_is_in_the_configuration():
    configured = {TEACHER, *configuration("compare", ["paths.output_dir=unused"]).systems}
    rows = (*TABLE_1, *TABLE_2, *TABLE_3)
    named = {name for row in rows for name in (row.reading.system, row.reading.gallery_of, row.reading.sr)}
    assert named - {None} <= configured
    assert set(TABLE_4) - {"bicubic"} <= configured


def test_systems_of_readings_are_listed_once_and_in_order():
    readings = [Reading("arcface", sr="fhn"), Reading("rim_split", gallery_of=TEACHER), Reading(BICUBIC)]
    assert systems_of(readings) == ("arcface", "fhn", "rim_split", "rim")
    assert systems_of(readings[:1], "coarse", "fhn") == ("arcface", "fhn", "rim", "coarse")
