"""Texts with inline annotation: what a line says, which types a text may be asked for, and the shipped ones."""

import random
import re
import runpy
from pathlib import Path

import pytest
import spacy

from spacy_openner.training.corpus import OpenNERCorpus_v1

ROOT = Path(__file__).resolve().parents[2]
script = runpy.run_path(str(ROOT / "scripts" / "open_types.py"))
parse, read = script["parse"], script["read"]


def test_a_line_with_nested_mentions_and_several_types():
    text = parse("[[Oslo](city; place) University](university) (est. [1811](year)) || country, year, film")
    assert text.text == "Oslo University (est. 1811)"
    assert text.spans == [(0, 4, "city"), (0, 4, "place"), (0, 15, "university"), (22, 26, "year")]
    assert text.present == ["city", "place", "university", "year"]
    assert text.absent == ["country", "film"]


@pytest.mark.parametrize("line", ["no bars", "[a](b", "[a] || c", "a](b) || c", "[a (b) || c"])
def test_other_lines_are_refused(line):
    with pytest.raises(ValueError, match=r"absent|bracket"):
        parse(line)


def test_types_that_may_be_there_unannotated_are_never_asked_for():
    texts = [
        parse("[Ann](chemist; person) || city"),
        parse("[Bob](physicist; person) || city"),
        parse("[Cy](chemist) lives || river"),
        parse("[Oslo](city) || film"),
    ]
    close = script["close_types"](texts)
    assert close["chemist"] == {"chemist", "person", "physicist"}
    assert close["city"] == {"city"}
    pool = ["person", "physicist", "city", "river"]
    for seed in range(20):
        asked = script["annotated_types"](texts[2], close, pool, 10, random.Random(seed))
        assert asked[:2] == ["chemist", "river"]
        assert set(asked[2:]) == {"city"}


def test_sisters_of_a_text_s_types_are_asked_for_where_each_mention_tells_its_own():
    families = {"person": [["chemist", "scientist"], ["actor", "singer"], ["singer", "writer"]]}
    told = parse("[Ann](chemist; person) saw [Bob](actor; person). || city")
    silent = parse("[Ann](chemist; person) saw [Bob](person). || city")
    other = parse("[Oslo](city) || film")
    sisters = script["sisters"]
    assert sisters(told, families) == ["writer"]
    assert sisters(silent, families) == []
    assert sisters(other, families) == []
    docs = script["to_docs"]([told, silent, other], 0, 0, families)
    assert [doc._.openner_labels[-1] for doc in docs] == ["writer", "city", "film"]


def test_every_shipped_line_is_well_formed_and_different():
    texts = read(ROOT / "assets" / "open_types")
    assert len(texts) > 4000
    assert len({text.text for text in texts}) == len(texts)
    for text in texts:
        for start, end, label in text.spans:
            mention = text.text[start:end]
            assert mention.strip() == mention != "", text
            assert label.strip() == label != "", text
            assert not re.search(r"\w$", text.text[:start][-1:]) or not re.match(r"\w", mention), text


def test_the_corpus_asks_each_text_for_its_own_types(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    lines = [
        "[Ann](person) saw [Oslo](city). || film, song",
        "Nothing here. || book",
        "[Rain](weather) fell. || person",
    ]
    (folder / "a.txt").write_text("\n\n".join(lines), encoding="utf8")
    script["main"](folder, tmp_path, more=2, dev=0, seed=0)
    examples = {eg.text: eg for eg in OpenNERCorpus_v1({"own": {"path": tmp_path / "train"}})(spacy.blank("en"))}
    assert list(examples)
    assert len(examples) == 3
    first = examples["Ann saw Oslo."]
    assert [(s.text, s.label_) for s in first.reference.spans["openner"]] == [("Ann", "person"), ("Oslo", "city")]
    assert {"person", "city", "film", "song"} <= set(first.predicted._.openner_labels)
    assert "book" in examples["Nothing here."].predicted._.openner_labels
