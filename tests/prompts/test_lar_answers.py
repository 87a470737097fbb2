"""LAR's lines as answers of gner_generator: the source domain first, then target types beside their source types."""

import json

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_openner.cli import app as cli
from spacy_openner.errors import SettingError
from spacy_openner.lar.table import AlignmentTable
from spacy_openner.prompts.base import bio_tags, spans_from_tags
from spacy_openner.prompts.lar import LARAnswerPrompt_v1
from spacy_openner.training.corpus import OpenNERCorpus_v1
from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests.support import tiny_models as tiny
from tests.support.reassignment_case import TABLE, gold_doc, source_nlp

PROMPT = LARAnswerPrompt_v1()
CONFIG = {"@misc": "spacy-openner.LARAnswerPrompt.v1"}
LABELS = list(AlignmentTable.from_dict(TABLE).described().values())
WORDS = ["Ada", "Lee", "left", "New", "Rome", "."]


def spans_said(answer, labels):
    return [(a.word, a.tag) for a in PROMPT.parse(answer, labels)]


def test_descriptions_name_both_types():
    assert LABELS[0] == "politician, a kind of person"
    asked = PROMPT.render(WORDS, LABELS)
    assert "Source types: person, place." in asked
    assert "Target types: politician, musician, city, river." in asked
    assert asked.endswith("Text: Ada Lee left New Rome .")


def test_answers():
    person, city = "politician, a kind of person", "city, a kind of place"
    tags = [f"B-{person}", f"I-{person}", "O", f"B-{city}", f"I-{city}", "O"]
    answer = PROMPT.answer(WORDS, tags)
    assert answer == "person : Ada Lee -> politician\nplace : New Rome -> city"
    assert spans_said(answer, LABELS) == [(w, t) for w, t in zip(WORDS, tags, strict=True) if t != "O"]
    places = [(word.start, word.end) for word in PROMPT.parse(answer, LABELS)]
    assert places[0] == places[1] == (0, answer.index("\n"))
    assert PROMPT.answer(WORDS, ["O"] * 6) == ""
    assert PROMPT.parse("", LABELS) == []


def test_tokenizers_move_spaces_and_lose_case():
    said = "person : ada lee - > politician place : new rome -> City"
    read = [(word.word, word.tag[2:]) for word in PROMPT.parse(said, LABELS)]
    assert read == [(w, LABELS[0]) for w in ("ada", "lee")] + [(w, LABELS[2]) for w in ("new", "rome")]
    labels = ["rock-singer, a kind of person - artist", "person, a kind of Person"]
    assert PROMPT.parse("person-artist : Bo -> rock - singer", labels)[0].tag == f"B-{labels[0]}"
    assert PROMPT.parse("person : Bo -> person", labels)[0].tag == f"B-{labels[1]}"


def test_the_source_domain_has_no_arrows():
    labels = ["person", "place"]
    answer = PROMPT.answer(WORDS, ["B-person", "O", "O", "B-place", "I-place", "O"])
    assert answer == "person : Ada\nplace : New Rome"
    assert spans_said(answer, labels) == [("Ada", "B-person"), ("New", "B-place"), ("Rome", "I-place")]
    assert "Source types: person, place.\nTarget types: .\n" in PROMPT.render(WORDS, labels)


@pytest.mark.parametrize(
    "answer",
    [
        "person : Ada -> city",
        "town : Ada -> city",
        "person : -> politician",
        "Ada -> politician",
        "person -> politician",
    ],
)
def test_what_is_no_line_of_the_table_says_nothing(answer):
    assert PROMPT.parse(answer, LABELS) == []


def test_types_with_and_without_a_source_type_do_not_mix():
    with pytest.raises(SettingError, match="river"):
        PROMPT.render(WORDS, [*LABELS, "river"])


@given(st.text())
def test_anything_can_be_read(answer):
    assert all(tag in bio_tags(LABELS) for _, tag in spans_said(answer, LABELS))


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.integers(1, 3)), max_size=5))
def test_what_is_written_is_read(entities):
    words = [f"w{i}" for i in range(20)]
    tags, at = ["O"] * 20, 0
    for label, n in entities:
        tags[at : at + n] = [f"B-{label}"] + [f"I-{label}"] * (n - 1)
        at += n + 1
    read = PROMPT.parse(PROMPT.answer(words, tags), LABELS)
    assert [tag for tag in tags if tag != "O"] == [word.tag for word in read]
    assert len(spans_from_tags(tags)) == sum(word.tag.startswith("B") for word in read)


def test_align_lists_types_for_training(tmp_path):
    """From a source pipeline and gold docs to descriptions that the corpus reader hands on."""
    nlp = source_nlp()
    nlp.to_disk(tmp_path / "source")
    docs = [gold_doc(nlp, text) for text in ("Ada and Lee left Oslo for Bath", "Kim met Max in Rome")]
    DocBin(docs=docs).to_disk(tmp_path / "target.spacy")
    types = tmp_path / "target.labels.json"
    args = ["align", str(tmp_path / "source"), str(tmp_path / "target.spacy"), "--types", str(types)]
    result = CliRunner().invoke(cli.app, args)
    assert result.exit_code == 0, result.output
    assert json.loads(types.read_text()) == {
        target: f"{target}, a kind of {source}" for target, source in TABLE.items()
    }
    made = spacy.blank("en")
    made.add_pipe("gner_generator", config={"prompt": CONFIG, "decoding": "free", "loss": "answer"})
    (example, _) = OpenNERCorpus_v1({"target": {"path": tmp_path / "target.spacy"}}, shuffle=False)(made)
    # The source pipeline has no component of this package, as any `ner` pipeline.
    assert example.reference._.openner_labels["politician"] == "politician, a kind of person"


def test_overfitting_IO(tmp_path):
    """Learns the lines of the target domain, answers with its types, and keeps all of that on disk."""
    table = {"politician": "person", "musician": "person", "city": "place"}
    described = AlignmentTable.from_dict(table).described()
    nlp = spacy.blank("en")
    config = {
        "model": {"name": str(tiny.saved_generator("gpt2", tmp_path / "model", layers=1))},
        "prompt": {**CONFIG, "instruction": "{sources}; {targets}; {text}"},
        "sampler": {
            "@misc": "spacy-openner.TypeSampler.v1",
            "negative_ratio": 1.0,
            "positive_dropout": 0.0,
            "description_ratio": 1.0,
        },
        "decoding": "free",
        "loss": "answer",
        "labels": described,
        "use_descriptions": True,
    }
    nlp.add_pipe("gner_generator", config=config)
    texts = [
        ("Ann Bell lives in Oslo", [(0, 2, "politician"), (4, 5, "city")]),
        ("Carl sings", [(0, 1, "musician")]),
        ("Rain fell", []),
    ]
    examples = []
    for text, spans in texts:
        gold = Doc(nlp.vocab, text.split())
        gold.ents = [Span(gold, a, b, label=label) for a, b, label in spans]
        gold._.openner_labels = described
        examples.append(Example(Doc(nlp.vocab, text.split()), gold))
    optimizer = LayerwiseAdam_v1(1e-2)
    for _ in range(400):
        if nlp.update(examples, sgd=optimizer, drop=0.0)["gner_generator"] < 0.01:
            break
    nlp.to_disk(tmp_path / "saved")
    for each in (nlp, spacy.load(tmp_path / "saved")):
        docs = [each(Doc(each.vocab, text.split())) for text, _ in texts]
        assert [[(e.start, e.end, e.label_) for e in doc.ents] for doc in docs] == [spans for _, spans in texts]
