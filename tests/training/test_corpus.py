"""The corpus reader, and the alignment of gold spans with what a model sees."""

import json
from collections import Counter

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_openner.errors import DataError, OpenNERWarning, SettingError
from spacy_openner.labels import get_labels
from spacy_openner.training.corpus import OpenNERCorpus_v1
from spacy_openner.training.targets import align


def write(path, n, label, *, types=None, words=("a", "b", "c"), key="openner"):
    """A corpus of `n` texts, each with one span; its texts are numbered."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nlp, docs = spacy.blank("en"), DocBin()
    for i in range(n):
        doc = Doc(nlp.vocab, [path.stem, str(i), *words])
        doc.spans[key] = [Span(doc, 0, 2, label=label)]
        doc.ents = list(doc.spans[key])
        docs.add(doc)
    docs.to_disk(path)
    if types is not None:
        path.with_name(f"{path.stem}.labels.json").write_text(json.dumps(types), encoding="utf8")
    return path


def texts(corpus, nlp=None):
    return [(eg.reference[0].text, int(eg.reference[1].text)) for eg in corpus(nlp or spacy.blank("en"))]


def test_each_corpus_keeps_its_own_types(tmp_path):
    write(tmp_path / "one.spacy", 3, "person", types=["person", "city"])
    write(tmp_path / "two.spacy", 3, "gene", types={"gene": "a stretch of DNA", "cell": "a cell"})
    write(tmp_path / "three.spacy", 2, "food")
    corpus = OpenNERCorpus_v1({"all": {"path": tmp_path}})
    seen = {eg.reference[0].text: eg.reference._.openner_labels for eg in corpus(spacy.blank("en"))}
    assert seen == {
        "one": {"person": "person", "city": "city"},
        "two": {"gene": "a stretch of DNA", "cell": "a cell"},
        "three": {"food": "food"},
    }
    asked = [eg.predicted._.openner_labels for eg in corpus(spacy.blank("en"))]
    assert all(len(labels) in (1, 2) for labels in asked)
    silent = OpenNERCorpus_v1({"all": {"path": tmp_path}}, annotate_labels=False)
    assert {eg.predicted._.openner_labels for eg in silent(spacy.blank("en"))} == {None}


def test_weights_say_how_often_a_text_is_read(tmp_path):
    write(tmp_path / "one.spacy", 10, "a")
    write(tmp_path / "two.spacy", 10, "b")
    corpus = OpenNERCorpus_v1({"all": {"path": tmp_path, "weights": {"one": 2.5}, "limits": {"two": 4}}})
    passes = [texts(corpus) for _ in range(2)]
    for seen in passes:
        counts = Counter(seen)
        assert sum(n for (name, _), n in counts.items() if name == "one") == 25
        assert {n for (name, _), n in counts.items() if name == "one"} == {2, 3}
        assert sum(n for (name, _), n in counts.items() if name == "two") == 4
    assert passes[0] != passes[1], "each pass is mixed anew"
    limited = [{i for name, i in seen if name == "two"} for seen in passes]
    assert limited[0] == limited[1], "but a limit is a fixed choice"
    assert len({name for name, _ in passes[0][:10]}) == 2, "sources are mixed"


def test_the_same_seed_reads_the_same(tmp_path):
    write(tmp_path / "one.spacy", 20, "a")
    first, second, other = (texts(OpenNERCorpus_v1({"all": {"path": tmp_path}}, seed=seed)) for seed in (1, 1, 2))
    assert first == second != other
    assert texts(OpenNERCorpus_v1({"all": {"path": tmp_path}}, shuffle=False)) == [("one", i) for i in range(20)]


def test_shards_part_the_texts(tmp_path):
    write(tmp_path / "one.spacy", 11, "a")
    parts = [texts(OpenNERCorpus_v1({"all": {"path": tmp_path}}, shard=i, shards=3, seed=4)) for i in range(3)]
    assert sorted(part for some in parts for part in some) == [("one", i) for i in range(11)]
    assert [len(part) for part in parts] == [4, 4, 3]


def test_files_with_numbers_are_one_corpus(tmp_path):
    write(tmp_path / "set-00001.spacy", 3, "a")
    write(tmp_path / "set-00002.spacy", 3, "b")
    write(tmp_path / "set-2020.spacy", 3, "c")
    corpus = OpenNERCorpus_v1({"all": {"path": tmp_path}})
    seen = {eg.reference[0].text: set(eg.reference._.openner_labels) for eg in corpus(spacy.blank("en"))}
    assert seen == {"set-00001": {"a", "b"}, "set-00002": {"a", "b"}, "set-2020": {"c"}}


def test_replay_has_its_share(tmp_path):
    own, old = write(tmp_path / "own" / "own.spacy", 30, "a"), write(tmp_path / "old" / "old.spacy", 500, "b")
    corpus = OpenNERCorpus_v1({"own": {"path": own}}, replay={"old": {"path": old}}, replay_share=0.25)
    counts = Counter(name for name, _ in texts(corpus))
    assert counts == {"own": 30, "old": 10}
    without = OpenNERCorpus_v1({"own": {"path": own}}, replay={"old": {"path": old}}, replay_share=0.0)
    assert Counter(name for name, _ in texts(without)) == {"own": 30}


def test_an_empty_list_leaves_the_types_to_the_texts(tmp_path):
    path = write(tmp_path / "one.spacy", 3, "a", types=[])
    assert [
        dict(eg.reference._.openner_labels) for eg in OpenNERCorpus_v1({"all": {"path": path}})(spacy.blank("en"))
    ] == [{}] * 3
    given = OpenNERCorpus_v1({"all": {"path": path, "labels": ["b"]}})
    assert [dict(eg.reference._.openner_labels) for eg in given(spacy.blank("en"))] == [{"b": "b"}] * 3


def test_excluded_types_are_gone_from_spans_entities_and_lists(tmp_path):
    write(tmp_path / "one.spacy", 2, "miscellaneous", types=["miscellaneous", "person"])
    corpus = OpenNERCorpus_v1({"all": {"path": tmp_path}}, exclude_labels=["miscellaneous"])
    for eg in corpus(spacy.blank("en")):
        assert not len(eg.reference.spans["openner"])
        assert not eg.reference.ents
        assert set(eg.reference._.openner_labels) == {"person"}


def test_long_texts_are_left_out_aloud(tmp_path):
    write(tmp_path / "one.spacy", 2, "a", words=["w"] * 30)
    write(tmp_path / "two.spacy", 2, "a")
    corpus = OpenNERCorpus_v1({"all": {"path": tmp_path}}, max_words=10)
    with pytest.warns(OpenNERWarning, match=r"W008.*2 texts.*one.spacy.*10 words"):
        assert {name for name, _ in texts(corpus)} == {"two"}


@pytest.mark.parametrize(
    ("sources", "match"),
    [
        ({}, "at least one corpus"),
        ({"x": {"path": "nowhere"}}, "O010.*nowhere"),
        ({"x": {}}, "path"),
        ({"x": {"path": None}}, "path"),
        ({"x": {"path": "{dir}", "wieght": 2}}, "weight"),
        ({"x": {"path": "{dir}", "weight": -1}}, "-1.*number from 0"),
        ({"x": {"path": "{dir}", "limit": 2.5}}, "2.5.*whole number"),
        ({"x": {"path": "{dir}", "weights": {"tow": 2}}}, "tow.*one"),
    ],
)
def test_bad_sources_are_refused(tmp_path, sources, match):
    write(tmp_path / "one.spacy", 1, "a")
    sources = {
        name: {k: str(tmp_path) if v == "{dir}" else v for k, v in given.items()} for name, given in sources.items()
    }
    with pytest.raises(SettingError, match=match):
        OpenNERCorpus_v1(sources)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "one.spacy").write_bytes(b"not a corpus")
    with pytest.raises(DataError, match=r"O403.*one\.spacy"):
        texts(OpenNERCorpus_v1({"all": {"path": tmp_path}}))


def test_other_settings_are_checked(tmp_path):
    write(tmp_path / "one.spacy", 1, "a")
    with pytest.raises(SettingError, match="replay_share"):
        OpenNERCorpus_v1({"all": {"path": tmp_path}}, replay_share=1.0)
    with pytest.raises(SettingError, match="shard"):
        OpenNERCorpus_v1({"all": {"path": tmp_path}}, shard=2, shards=2)


# (gold words and spaces, predicted words and spaces, gold span, expected span of words or None)
MISMATCHES = [
    (["New", "York", "-based"], [1, 0, 0], ["New", "York-based"], [1, 0], (0, 2), None),
    (["don't", "go", "Paris"], [1, 1, 0], ["do", "n't", "go", "Paris"], [0, 1, 1, 0], (2, 3), (3, 4)),
    (["do", "n't", "Zoë"], [0, 1, 0], ["don't", "Zoë"], [1, 0], (2, 3), (1, 2)),
    (["U.S.", "law"], [1, 0], ["U.S", ".", "law"], [0, 1, 0], (0, 1), (0, 2)),
    (["北京", "大学"], [0, 0], ["北", "京大学"], [0, 0], (0, 1), None),
    (["😀", "Marie", "C."], [1, 1, 0], ["😀", "Marie", "C", "."], [1, 1, 0, 0], (1, 3), (1, 4)),
]


@pytest.mark.parametrize(("words", "spaces", "predicted", "gaps", "span", "expected"), MISMATCHES)
def test_gold_spans_over_other_tokens(words, spaces, predicted, gaps, span, expected):
    vocab = spacy.blank("en").vocab
    reference = Doc(vocab, words, [bool(s) for s in spaces])
    reference.spans["openner"] = [Span(reference, *span, label="x")]
    gold = align(Example(Doc(vocab, predicted, [bool(s) for s in gaps]), reference), "openner", "spacy")
    if expected:
        assert gold.spans == [(*expected, "x")]
        assert (gold.unknown, gold.misaligned) == ([], 0)
    else:
        assert gold.spans == []
        assert gold.misaligned == 1
        touched = {i for a, b in gold.unknown for i in range(a, b)}
        inside = {i for i, token in enumerate(predicted) if any(word in token for word in words[slice(*span)])}
        assert inside <= touched


def test_gold_spans_in_the_words_of_published_checkpoints():
    nlp = spacy.blank("en")
    doc = nlp.make_doc("Osc-Dis, 1999 e-mailed")
    reference = doc.copy()
    start = next(token.i for token in doc if token.text == "1999")
    reference.spans["openner"] = [Span(reference, start, start + 1, label="year")]
    gold = align(Example(doc, reference), "openner", "gliner")
    ((first, last, label),) = gold.spans
    assert (gold.words.texts[first:last], label) == (["1999"], "year")


def test_white_space_around_a_gold_span_is_no_mismatch():
    nlp = spacy.blank("en")
    doc = nlp.make_doc("in  Paris \n now")
    reference = doc.copy()
    paris = next(token.i for token in doc if token.text == "Paris")
    reference.spans["openner"] = [Span(reference, paris - 1, paris + 2, label="city")]
    gold = align(Example(doc, reference), "openner", "spacy")
    assert [(gold.words.texts[a:b], label) for a, b, label in gold.spans] == [(["Paris"], "city")]


def test_a_text_stored_with_its_own_types_keeps_them(tmp_path):
    nlp, docs = spacy.blank("en"), DocBin(store_user_data=True)
    for words, own in (
        (["a", "b"], ["city", "miscellaneous"]),
        (["c"], {"gene": "a stretch of DNA"}),
        (["d"], None),
        (["e"], ["miscellaneous"]),
    ):
        doc = Doc(nlp.vocab, words)
        doc.spans["openner"] = []
        doc._.openner_labels = own
        docs.add(doc)
    docs.to_disk(tmp_path / "mixed.spacy")
    (tmp_path / "mixed.labels.json").write_text('["person"]', encoding="utf8")
    corpus = OpenNERCorpus_v1({"all": {"path": tmp_path}}, exclude_labels=["miscellaneous"])
    asked = {eg.reference[0].text: get_labels(eg.predicted) for eg in corpus(nlp)}
    assert asked == {"a": {"city": "city"}, "c": {"gene": "a stretch of DNA"}, "d": {"person": "person"}, "e": {}}
