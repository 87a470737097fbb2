"""Alignment tables: options, files, and what is no table."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.errors import DataError, SettingError
from spacy_openner.lar.table import FORMAT, MISCELLANEOUS, AlignedType, AlignmentTable

ROWS = {"location": AlignedType(("GPE", "LOC"), 0.5, {"GPE": 5, "LOC": 4, "": 1}), "person": AlignedType(("PERSON",))}
TABLE = AlignmentTable(ROWS, ("GPE", "LOC", "PERSON", "ORG"), "MISC", "by hand")

names = st.text(min_size=1, max_size=12).filter(lambda text: text.strip())
targets = names.filter(lambda name: name != "none")


@st.composite
def tables(draw):
    sources = tuple(draw(st.lists(names, unique=True, min_size=1, max_size=6)))
    miscellaneous = draw(names)
    rows = {
        target: AlignedType(
            tuple(draw(st.lists(st.sampled_from([*sources, miscellaneous]), min_size=1, max_size=3, unique=True))),
            draw(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5)),
            draw(st.dictionaries(st.just("") | names, st.integers(0, 10**12), max_size=3)),
        )
        for target in draw(st.lists(targets, unique=True, max_size=5))
    }
    return AlignmentTable(rows, draw(st.just(sources) | st.just(())), miscellaneous, draw(st.text(max_size=5)))


@given(tables())
def test_what_is_written_is_read(table):
    assert AlignmentTable.from_dict(table.as_dict()) == table
    as_json = json.loads(json.dumps(table.as_dict()))
    assert AlignmentTable.from_dict(as_json) == table
    assert list(AlignmentTable.from_dict(as_json).targets) == list(table.targets)


@given(tables())
def test_options_and_source_types_say_the_same(table):
    for target, aligned in table.targets.items():
        for source in table.source_types:
            assert (target in table.options(source)) == (source in aligned.sources)


@given(table=tables())
def test_files(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("tables") / "table.json"
    table.save(path)
    assert AlignmentTable.load(path) == table


def test_several_sources():
    assert TABLE.options("LOC") == TABLE.options("GPE") == ("location",)
    assert TABLE.options("ORG") == TABLE.options("nothing") == ()
    assert TABLE.source_types == ("GPE", "LOC", "PERSON", "ORG")
    assert AlignmentTable(ROWS).source_types == ("GPE", "LOC", "PERSON")
    assert TABLE.described() == {"location": "location, a kind of GPE", "person": "person, a kind of PERSON"}
    assert TABLE.as_dict()["targets"]["location"]["source"] == ["GPE", "LOC"]
    assert TABLE.as_dict()["targets"]["person"]["source"] == "PERSON"


def test_what_people_write():
    table = AlignmentTable.from_dict({"place": ["GPE", "LOC"], "person": "PERSON"})
    assert table == AlignmentTable({"place": AlignedType(("GPE", "LOC")), "person": AlignedType(("PERSON",))})
    assert (table.miscellaneous, table.strategy, table.sources) == (MISCELLANEOUS, "", ())
    assert AlignmentTable.from_dict({"format": "PRODUCT", "person": "PERSON"}).options("PRODUCT") == ("format",)
    assert AlignmentTable.from_dict({"format": FORMAT, "targets": {}}).targets == {}


def test_unknown_types():
    with pytest.raises(SettingError, match=r"O502.*source.*\['A', 'B'\].*'C', 'miscellaneous'"):
        AlignmentTable({"x": AlignedType(("B", "A", "C"))}, ("C",))
    assert AlignmentTable({"x": AlignedType((MISCELLANEOUS,))}, ("C",)).options(MISCELLANEOUS) == ("x",)
    TABLE.check_targets(["person", "location", "more"])
    with pytest.raises(
        SettingError,
        match=r"O502.*has target types.*\['location'\].*\['person'\].*add them to the component's `labels`\.",
    ):
        TABLE.check_targets(["person"])
    with pytest.raises(SettingError, match="O503"):
        AlignmentTable({"none": AlignedType(("A",))})


def full(**change):
    return {"format": FORMAT, "targets": {"x": {"source": "A", **change}}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "O501.*The value.*an object.*NoneType"),
        ([], "O501.*an object"),
        ({}, "O501.*format"),
        ({"x": 3}, "O501.*keys among"),
        ({"x": []}, "O501.*one source type at least"),
        ({"x": ["A", "A"]}, "O501.*each type once"),
        ({"x": ""}, "O501.*the name of a type"),
        ({"x": [" "]}, "O501.*the name of a type"),
        (full(source=None), "O501.*'x'.*source.*None"),
        (full(source={}), "O501.*source"),
        (full(more=1), "O501.*more"),
        (full(confidence=True), "O501.*a number or null"),
        (full(confidence=math.nan), "O501.*a number or null"),
        (full(confidence=math.inf), "O501.*a number or null"),
        (full(counts=[1]), "O501.*counts.*an object"),
        (full(counts={"A": 1.0}), "O501.*whole numbers"),
        (full(counts={"A": True}), "O501.*whole numbers"),
        ({**full(), "strategy": 3}, "O501.*strategy.*a string"),
        ({**full(), "sources": ["A", "A"]}, "O501.*each type once"),
        ({**full(), "sources": "A"}, "O501.*a list of names"),
        ({**full(), "targets": None}, "O501.*targets"),
        ({"format": FORMAT, "targets": {"x": "A"}}, "O501.*an object"),
        ({"format": "spacy-openner.alignment.v9", "targets": {}}, "O501.*spacy-openner.alignment.v1.*v9"),
    ],
)
def test_what_is_no_table(value, message):
    with pytest.raises(DataError, match=message):
        AlignmentTable.from_dict(value)


def test_an_old_file_stays_where_the_new_one_cannot_be_written(tmp_path):
    TABLE.save(tmp_path / "table.json")
    with pytest.raises(DataError, match="O407"):
        TABLE.save(tmp_path / "nowhere" / "table.json")
    bad = AlignmentTable({"x": AlignedType(("A",), None, {"A": object()})})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        bad.save(tmp_path / "table.json")
    assert AlignmentTable.load(tmp_path / "table.json") == TABLE
    assert [file.name for file in tmp_path.iterdir()] == ["table.json"]


def test_messages_name_the_file(tmp_path):
    (tmp_path / "mine.json").write_text("[]")
    with pytest.raises(DataError, match=r"O501.*mine\.json is no alignment table"):
        AlignmentTable.load(tmp_path / "mine.json")
