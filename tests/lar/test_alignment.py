"""Alignment tables: by predictions and by names, read and written."""

import json
import sys
import warnings

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_openner.cli.app import app
from spacy_openner.errors import DataError, MissingExtra, OpenNERWarning, SettingError
from spacy_openner.labels import LabelSet
from spacy_openner.lar.alignment import PseudoLabelAlignment_v1, align_labels
from spacy_openner.lar.embedding_alignment import EmbeddingAlignment_v1
from spacy_openner.lar.table import AlignedType, AlignmentTable
from tests.support.reassignment_case import GOLD, TABLE, TEXTS, gold_doc, lar_nlp, source_nlp

FULL = {
    "format": "spacy-openner.alignment.v1",
    "strategy": "by hand",
    "sources": ["person", "place"],
    "miscellaneous": "other",
    "targets": {
        "politician": {"source": "person", "confidence": 0.9, "counts": {"person": 9, "": 1}},
        "größe: #1": {"source": "other"},
    },
}


def pseudo(nlp, gold, **options):
    return align_labels(nlp, gold, PseudoLabelAlignment_v1(**options))


# Tables


def test_a_table_is_readable_and_comes_back(tmp_path):
    table = AlignmentTable.from_dict(FULL)
    table.save(tmp_path / "table.json")
    assert "größe: #1" in (tmp_path / "table.json").read_text(encoding="utf8")
    copy = AlignmentTable.load(tmp_path / "table.json")
    assert copy == table
    assert copy.options("person") == ("politician",)
    assert copy.options("nowhere") == ()
    assert copy.source_types == ("person", "place", "other")


def test_a_plain_mapping_will_do():
    table = AlignmentTable.from_dict(TABLE)
    assert table.options("place") == ("city", "river")
    assert AlignmentTable.from_dict({"format": "person"}).options("person") == ("format",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": {"politician": {"source": "persn"}}}, "O502.*persn.*'person', 'place', 'other'"),
        ({"targets": {"none": {"source": "person"}}}, "O503"),
        ({"targets": {"politician": {}}}, "O501.*politician.*source"),
        ({"targets": {"politician": {"source": ["person", "person"]}}}, "O501.*each type once"),
        ({"targets": {"politician": {"source": "person", "sorce": "x"}}}, "O501.*sorce"),
        ({"targets": {"politician": {"source": "person", "counts": {"person": -1}}}}, "O501.*counts"),
        ({"targets": {"politician": {"source": "person", "confidence": "high"}}}, "O501.*confidence"),
        ({"targets": {" ": {"source": "person"}}}, "O501"),
        ({"targets": ["politician"]}, "O501.*targets"),
        ({"sources": "person"}, "O501.*sources"),
        ({"sources": [1]}, "O501.*sources"),
        ({"format": "v0"}, "O501.*format"),
        ({"types": {}}, "O501.*types"),
        ({"miscellaneous": None}, "O501.*miscellaneous"),
    ],
)
def test_tables_that_are_wrong(change, message, tmp_path):
    (tmp_path / "table.json").write_text(json.dumps({**FULL, **change}))
    with pytest.raises((DataError, SettingError), match=message):
        AlignmentTable.load(tmp_path / "table.json")


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', "3", "{}", '{"a": "person", "a": "place"}'])
def test_files_that_are_no_tables(content, tmp_path):
    (tmp_path / "table.json").write_text(content)
    with pytest.raises(DataError, match=r"O501|O403"):
        AlignmentTable.load(tmp_path / "table.json")
    with pytest.raises(DataError, match="O403"):
        AlignmentTable.load(tmp_path / "nowhere.json")


def test_a_table_with_types_that_the_component_does_not_know():
    with pytest.raises(SettingError, match=r"O502.*\['musician', 'city'\].*'politician', 'river'"):
        lar_nlp(labels=["politician", "river"])


# By predictions


def test_the_majority_decides():
    nlp = source_nlp(Zoe="place", Fog="person")
    texts = [*TEXTS, "Zoe and Fog"]
    gold = [gold_doc(nlp, text, {**GOLD, "Zoe": "musician", "Fog": "weather", "Rain": "weather"}) for text in texts]
    table = pseudo(nlp, gold)
    assert {target: each.sources[0] for target, each in table.targets.items()} == {**TABLE, "weather": "person"}
    # Lee and Max are people; Zoe, found twice, is a place by this source.
    assert table.targets["musician"].counts == {"person": 2, "place": 2}
    assert table.targets["weather"] == AlignedType(("person",), 0.5, {"": 1, "person": 1})
    assert table.sources == ("person", "place")


def test_unrecognised_types_are_miscellaneous():
    nlp = source_nlp()
    gold = [gold_doc(nlp, "Rain fell . Fog came . Ada", {"Rain": "weather", "Fog": "weather", "Ada": "politician"})]
    table = pseudo(nlp, gold, miscellaneous="MISC")
    assert table.targets["weather"] == AlignedType(("MISC",), 1.0, {"": 2})
    assert table.options("MISC") == ("weather",)


def test_a_share_that_must_be_recognised():
    nlp = source_nlp(Rain="place")
    gold = [gold_doc(nlp, "Rain Fog Mist Ada", {"Rain": "weather", "Fog": "weather", "Mist": "weather", "Ada": "x"})]
    assert pseudo(nlp, gold).targets["weather"].sources == ("place",)
    assert pseudo(nlp, gold, min_share=0.5).targets["weather"].sources == ("miscellaneous",)


def test_overlaps_count_for_what_shares_most():
    nlp = spacy.blank("en")
    nlp.add_pipe("span_ruler", config={"spans_key": "found", "annotate_ents": False}).add_patterns(
        [{"label": "short", "pattern": "Bay"}, {"label": "long", "pattern": "the Bay of Fundy in"}]
    )
    gold = Doc(nlp.vocab, words=["the", "Bay", "of", "Fundy", "in", "Canada"])
    gold.ents = [Span(gold, 1, 4, label="sea")]
    table = align_labels(nlp, [gold], PseudoLabelAlignment_v1(), source="found")
    assert table.targets["sea"].counts == {"long": 1}


def test_gold_of_another_tokenisation():
    nlp = source_nlp()
    gold = Doc(nlp.vocab, words=["Ad", "a", "left"], spaces=[False, True, False])
    gold.ents = [Span(gold, 0, 2, label="politician")]
    assert pseudo(nlp, [gold]).targets["politician"].sources == ("person",)
    example = Example(nlp.make_doc("Ada left"), gold)
    assert pseudo(nlp, [example]).targets["politician"].sources == ("person",)


def test_gold_in_a_span_group():
    nlp = source_nlp()
    gold = nlp.make_doc("Ada left")
    gold.spans["openner"] = [Span(gold, 0, 1, label="politician"), Span(gold, 0, 2, label="event")]
    assert set(pseudo(nlp, [gold]).targets) == {"politician", "event"}


@pytest.mark.parametrize("as_example", [False, True])
def test_the_source_is_not_asked_for_what_docs_name(as_example):
    """Docs of a corpus name its types, which are target types."""
    nlp, asked = source_nlp(), []

    @Language.component(f"asked_{as_example}")
    def look(doc):
        asked.append(doc._.openner_labels)
        return doc

    nlp.add_pipe(f"asked_{as_example}", first=True)
    gold = gold_doc(nlp, TEXTS[0])
    gold._.openner_labels = ["politician", "city"]
    predicted = nlp.make_doc(TEXTS[0])
    predicted._.openner_labels = ["politician", "city"]
    table = pseudo(nlp, [Example(predicted, gold) if as_example else gold])
    assert asked == [None]
    assert table.targets["politician"].sources == ("person",)
    assert gold._.openner_labels == predicted._.openner_labels == ["politician", "city"]


def test_nothing_to_align_by():
    nlp = source_nlp()
    with pytest.raises(SettingError, match="O508"):
        pseudo(nlp, [])
    with pytest.raises(SettingError, match="O508"):
        pseudo(nlp, [nlp.make_doc("Ada")])


def test_types_that_the_docs_lack_are_miscellaneous():
    nlp = source_nlp()
    table = align_labels(
        nlp, [gold_doc(nlp, "Ada")], PseudoLabelAlignment_v1(), targets=LabelSet(["politician", "comet"])
    )
    assert table.targets["comet"] == AlignedType(("miscellaneous",), 0.0, {})


# By names


def test_the_nearest_name():
    table = EmbeddingAlignment_v1()(
        {}, LabelSet(["person", "location"]), LabelSet(["politician", "city", "person", "scientist"])
    )
    found = {target: each.sources[0] for target, each in table.targets.items()}
    assert found == {"politician": "person", "city": "location", "person": "person", "scientist": "person"}
    assert table.targets["person"].confidence == pytest.approx(1.0)
    assert table.sources == ("person", "location")


def test_one_to_one():
    sources, targets = LabelSet(["person", "location"]), LabelSet(["politician", "person", "city"])
    table = EmbeddingAlignment_v1(mode="one-to-one")({}, sources, targets)
    assert {target: each.sources[0] for target, each in table.targets.items()} == {
        "politician": "miscellaneous",
        "person": "person",
        "city": "location",
    }


def test_descriptions_stand_for_names():
    sources = LabelSet({"A1": "a person", "B2": "a city or a country"})
    table = EmbeddingAlignment_v1()({}, sources, LabelSet({"X": "towns and villages", "Y": "a man or a woman"}))
    assert {target: each.sources[0] for target, each in table.targets.items()} == {"X": "B2", "Y": "A1"}


def test_codes_are_read_as_words():
    table = EmbeddingAlignment_v1()({}, LabelSet(["PERSON", "LOCATION"]), LabelSet(["location_city", "person-artist"]))
    assert [each.sources[0] for each in table.targets.values()] == ["LOCATION", "PERSON"]


def test_what_is_like_nothing_is_miscellaneous():
    table = EmbeddingAlignment_v1(min_similarity=0.99)({}, LabelSet(["person"]), LabelSet(["person", "enzyme"]))
    assert [each.sources[0] for each in table.targets.values()] == ["person", "miscellaneous"]


def test_any_encoder(tiny_path):
    table = EmbeddingAlignment_v1(str(tiny_path))({}, LabelSet(["person"]), LabelSet(["award"]))
    assert table.options("person") == ("award",)


def test_names_need_names():
    with pytest.raises(SettingError, match="O509"):
        EmbeddingAlignment_v1()({}, LabelSet([]), LabelSet(["city"]))


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtra, match=r"O301.*spacy-openner\[align\]"):
        EmbeddingAlignment_v1(mode="one-to-one")({}, LabelSet(["person"]), LabelSet(["city"]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: PseudoLabelAlignment_v1(""),
        lambda: PseudoLabelAlignment_v1(min_share=2),
        lambda: EmbeddingAlignment_v1(mode="hungarian"),
        lambda: EmbeddingAlignment_v1(min_similarity=-2),
        lambda: EmbeddingAlignment_v1(miscellaneous=" "),
    ],
)
def test_settings_that_are_not_allowed(make):
    with pytest.raises(SettingError, match="O001"):
        make()


# The command


@pytest.fixture
def saved(tmp_path):
    nlp = source_nlp()
    nlp.to_disk(tmp_path / "pipeline")
    DocBin(docs=[gold_doc(nlp, text) for text in TEXTS]).to_disk(tmp_path / "dev.spacy")
    return tmp_path


def run(*args):
    return CliRunner().invoke(app, ["align", *map(str, args)])


def test_align_command(saved):
    result = run(saved / "pipeline", saved / "dev.spacy", "--output", saved / "table.json")
    assert result.exit_code == 0, result.output
    table = AlignmentTable.load(saved / "table.json")
    assert {target: each.sources[0] for target, each in table.targets.items()} == TABLE
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["politician"] == ["person", "1.00", "person", "3"]
    record = json.loads(run(saved / "pipeline", saved / "dev.spacy", "--json").stdout)
    assert record == table.as_dict()


@pytest.mark.parametrize("strategy", ["names", "one-to-one"])
def test_align_command_by_names(saved, strategy):
    options = ["--strategy", strategy, "--source-types", "person, place", "--miscellaneous", "MISC", "--json"]
    result = run(saved / "pipeline", saved / "dev.spacy", *options)
    assert result.exit_code == 0, result.output
    table = AlignmentTable.from_dict(json.loads(result.stdout))
    if strategy == "names":
        assert table.options("MISC") == ()
        assert "city" in table.options("place")
    else:
        assert [len(table.options(source)) for source in ("person", "place", "MISC")] == [1, 1, 2]


@pytest.mark.parametrize(("share", "expected"), [("0.1", "person"), ("0.9", "miscellaneous")])
def test_align_command_wants_a_share_of_a_type_to_be_recognised(saved, share, expected):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": "Ada"}])
    nlp.to_disk(saved / "pipeline")
    result = run(saved / "pipeline", saved / "dev.spacy", "--min-share", share, "--json")
    assert json.loads(result.stdout)["targets"]["politician"]["source"] == expected


def test_align_command_takes_the_list_of_types(saved):
    (saved / "dev.labels.json").write_text(json.dumps(["comet", "city"]))
    record = json.loads(run(saved / "pipeline", saved / "dev.spacy", "--json").stdout)
    assert list(record["targets"]) == ["comet", "city"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [(["nowhere", "dev.spacy"], 1, "O426"), (["pipeline", "dev.spacy", "--output", "no/where.json"], 1, "O407")],
)
def test_mistakes_get_a_message_and_an_exit_code(saved, args, code, message, monkeypatch):
    monkeypatch.chdir(saved)
    result = run(*args)
    assert result.exit_code == code
    assert message in result.stderr


# Several source types


def aligned(counts, **settings):
    return PseudoLabelAlignment_v1(**settings)({"x": counts}, LabelSet([]), LabelSet(["x"])).targets["x"]


def test_frequent_source_types_are_all_taken():
    """A location is a GPE, LOC or FAC to a model of OntoNotes."""
    counts = {"LOC": 4, "GPE": 5, "FAC": 1, "": 9}
    assert aligned(counts) == AlignedType(("GPE", "LOC"), 5 / 19, {"": 9, "GPE": 5, "LOC": 4, "FAC": 1})
    assert aligned(counts, min_source_share=1).sources == ("GPE",)
    assert aligned(counts, min_source_share=0.41).sources == ("GPE",)
    assert aligned(counts, min_source_share=0.4).sources == ("GPE", "LOC")


def test_one_entity_is_no_second_source_type():
    assert aligned({"A": 2, "B": 1}, min_source_share=0).sources == ("A",)
    assert aligned({"A": 2, "B": 2}, min_source_share=0).sources == ("A", "B")


def test_small_counts_are_doubted():
    nlp = source_nlp()
    gold = [gold_doc(nlp, "Ada left Oslo")] * 10
    with pytest.warns(OpenNERWarning, match=r"W505.*fewer than 10.*\{'musician': 1\}"):
        align_labels(nlp, [*gold, gold_doc(nlp, "Lee left")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        align_labels(nlp, gold)


def test_lists_of_names_do_for_types():
    nlp = source_nlp()
    with pytest.warns(OpenNERWarning, match="W505"):
        table = align_labels(nlp, [gold_doc(nlp, "Ada")], targets=["politician", "river"], sources=["person", "place"])
    assert list(table.targets) == ["politician", "river"]
    assert table.sources == ("person", "place")


def test_gold_under_another_key():
    nlp = source_nlp()
    doc = gold_doc(nlp, "Ada")
    doc.spans["sc"] = [Span(doc, 0, 1, label="singer")]
    with pytest.warns(OpenNERWarning, match="W505"):
        assert list(align_labels(nlp, [doc], spans_key="sc").targets) == ["singer"]


@pytest.mark.parametrize(
    "settings",
    [{"min_source_share": 1.1}, {"min_source_share": True}, {"min_share": "a"}, {"miscellaneous": " "}],
)
def test_strategies_check_their_settings(settings):
    with pytest.raises(SettingError, match=f"O001.*{next(iter(settings))}"):
        PseudoLabelAlignment_v1(**settings)


def test_codes_are_read_as_spacy_explains_them(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "spacy_openner.lar.embedding_alignment.load",
        lambda *args: lambda texts: seen.append(texts) or torch.eye(4)[: len(texts)],
    )
    EmbeddingAlignment_v1()({}, LabelSet(["GPE", "cell_type", "ART"]), LabelSet({"country": "a state"}))
    assert seen == [["a state"], ["gpe: Countries, cities, states", "cell type", "art"]]
