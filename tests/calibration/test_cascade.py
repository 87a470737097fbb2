"""Where the second of two reassigners is asked, by annotated docs."""

import json

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_openner.calibration.cascade import ALWAYS, NEVER, JudgedEntity, calibrate_cascade, choose_below
from spacy_openner.cli.app import app
from spacy_openner.errors import SettingError
from spacy_openner.lar.decisions import read_decisions
from tests.support.fake_chat_server import serve
from tests.support.reassignment_case import GOLD, TEXTS, gated, gold_doc, lar_nlp, llm, source_nlp, span_matcher


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("rows", "below"),
    [
        ([], NEVER),
        ([JudgedEntity(0.5, True, False)], NEVER),
        ([JudgedEntity(0.5, True, True)], NEVER),
        ([JudgedEntity(0.5, False, True)], ALWAYS),
        ([JudgedEntity(0.2, False, True), JudgedEntity(0.8, True, False)], 0.5),
        ([JudgedEntity(0.2, True, False), JudgedEntity(0.8, False, True), JudgedEntity(0.9, False, True)], ALWAYS),
        ([JudgedEntity(0.2, False, True), JudgedEntity(0.2, True, False), JudgedEntity(0.4, True, True)], NEVER),
        (
            [JudgedEntity(0.2, False, True), JudgedEntity(0.4, True, True), JudgedEntity(0.8, True, False)],
            pytest.approx(0.3),
        ),
    ],
)
def test_where_to_ask(rows, below):
    assert choose_below(rows) == below
    assert choose_below(rows[::-1]) == below


def test_calibrate_learns_where_the_second_helps(tiny_path):
    """The model is right about places and wrong about people: the gate learns to ask about places."""
    wrong = {name: "musician" if label == "politician" else "politician" for name, label in GOLD.items()}
    gold = [gold_doc(source_nlp(), text) for text in TEXTS * 3]
    with serve(gold={**wrong, "Oslo": "city", "Rome": "city", "Bath": "river"}) as server:
        nlp = lar_nlp(gated(span_matcher(tiny_path), llm(server.url)), on_none="never")
        result = calibrate_cascade(nlp, gold, min_cases=2)
        for label, each in result.per_type.items():
            assert each.both >= max(each.first, each.second)
            assert each.n >= each.asked
            assert result.gate[label] == each.below
        asked = {label: each for label, each in result.per_type.items() if each.asked}
        assert set(asked) <= {"city", "river"}
        assert sum(each.both for each in result.per_type.values()) > sum(e.first for e in result.per_type.values())
        result.apply(nlp)
        by = {doc[d.start].text: (d.by, d.label) for doc in nlp.pipe(TEXTS) for d in read_decisions(doc)}
        assert all(label == GOLD[word] for word, (who, label) in by.items() if who == "llm")
        kept = calibrate_cascade(nlp, gold, min_cases=10_000)
        assert kept.gate == result.gate
        assert {each.status for each in kept.per_type.values()} == {"kept"}


def test_calibrate_needs_a_gate_and_gold(tiny_path):
    nlp = lar_nlp(span_matcher(tiny_path))
    with pytest.raises(SettingError, match="O506"):
        calibrate_cascade(nlp, [gold_doc(nlp, "Ada")])
    with pytest.raises(SettingError, match="O429"):
        calibrate_cascade(nlp, [gold_doc(nlp, "Ada")], "entity_ruler")
    with serve(gold=GOLD) as server:
        nlp = lar_nlp(gated(span_matcher(tiny_path), llm(server.url)))
        with pytest.raises(SettingError, match="O508"):
            calibrate_cascade(nlp, [nlp.make_doc("Ada")])


def test_calibrate_command(tiny_path, tmp_path):
    with serve(gold=GOLD) as server:
        nlp = lar_nlp(gated(span_matcher(tiny_path), llm(server.url)), on_none="never")
        nlp.to_disk(tmp_path / "pipeline")
        DocBin(docs=[gold_doc(nlp, text) for text in TEXTS * 3]).to_disk(tmp_path / "dev.spacy")
        options = ["--component", "lar_reassigner", "--min-gold", "2", "--output", tmp_path / "better"]
        args = ["calibrate", tmp_path / "pipeline", tmp_path / "dev.spacy", *options]
        result = CliRunner().invoke(app, list(map(str, args)))
        assert result.exit_code == 0, result.output
        expected = calibrate_cascade(nlp, [gold_doc(nlp, text) for text in TEXTS * 3], min_cases=2)
        assert spacy.load(tmp_path / "better").get_pipe("lar_reassigner").gate == expected.gate
        rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()[2:] if line.split()}
        for label, each in expected.per_type.items():
            assert rows[label][2:4] == [str(each.n), str(each.asked)]
        as_json = CliRunner().invoke(app, [*map(str, args[:-2]), "--json"])
        assert json.loads(as_json.stdout)["gate"] == expected.gate
