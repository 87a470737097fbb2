"""What users of other open-NER packages report as bugs, one test each."""

import numpy as np
import pytest

from tests.support import tiny_models as tiny
from tests.support.tiny_models import found, same


def reach(doc) -> set[int]:
    """Tokens that any span covers."""
    return {i for span in doc.spans["openner"] for i in range(span.start, span.end)}


@pytest.mark.parametrize("words", ["spacy", "gliner"])
@pytest.mark.parametrize("n_words", [383, 384, 385, 2000])
def test_no_silent_truncation(make_nlp, words, n_words):
    doc = make_nlp({"words": words}, labels=["person"], threshold=0.0, overlap="all")(tiny.long_text(n_words))
    assert reach(doc) == {token.i for token in doc if not token.is_space}


def test_no_truncation_behind_a_long_prompt(make_nlp):
    labels = [f"a rather long name of type number {i}" for i in range(100)]
    shown = [labels[0], labels[50], labels[99]]
    # What all of them would find is more than a million spans.
    doc = make_nlp(labels=labels, threshold=1.0, label_thresholds=dict.fromkeys(shown, 0.0), overlap="all")(
        tiny.long_text(600)
    )
    for label in shown:
        covered = {i for s in doc.spans["openner"] if s.label_ == label for i in range(s.start, s.end)}
        assert covered == set(range(len(doc)))


@pytest.mark.parametrize(
    "text",
    [
        "U.K.-based",
        "the so-called“smart”phone",
        "x😀y",
        "don't",
        "a.b,c",
        "№5",
        "http://x.org/a?b=c",
        "3€/kg",
        "e\u0301t\u0301e",
    ],
)
def test_no_entity_is_lost_at_misaligned_characters(make_nlp, text):
    """Every word that the splitter sees has scores, and they reach the doc, whatever spaCy's tokens are."""
    doc = make_nlp({"words": "gliner"}, threshold=0.0, overlap="all")(text)
    assert reach(doc) == set(range(len(doc)))


def test_cjk_is_searched_inside_clauses(make_nlp):
    doc = make_nlp(lang="zh", threshold=0.0, overlap="all")("张伟在北京大学工作")
    texts = {span.text for span in doc.spans["openner"]}
    assert {"张伟", "北京大学"} <= texts


@pytest.mark.parametrize("fixture", ["tiny_path", "bi_encoder_path", "token_path"])
def test_padding_changes_no_score(make_nlp, request, fixture):
    """The same short text beside ever longer neighbours."""
    nlp = make_nlp({"name": str(request.getfixturevalue(fixture))}, threshold=0.0, overlap="all")
    alone = found(nlp("Marie Curie"))
    assert alone
    for n_words in (5, 30, 100):
        docs = list(nlp.pipe(["Marie Curie", tiny.long_text(n_words), "Hi"]))
        same(found(docs[0]), alone)


@pytest.mark.parametrize("lstm_layers", [0, 1])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_padding_changes_no_score_with_any_backbone(make_nlp, tmp_path, kind, lstm_layers):
    path = tiny.saved(kind, tmp_path, lstm_layers=lstm_layers)
    nlp = make_nlp({"name": str(path)}, threshold=0.0, overlap="all")
    alone = found(nlp("Marie Curie"))
    same(found(next(nlp.pipe(["Marie Curie", tiny.long_text(60)]))), alone)


def test_label_order_and_number_keep_names_and_scores_together(make_nlp):
    """A label's score moves with its name: the same prompt in another order is another prompt, not a mix-up."""
    nlp = make_nlp(threshold=0.0, overlap="all", model={"max_types": 1})
    pipe = nlp.get_pipe("open_ner_span")
    tables = []
    for labels in (tiny.LABELS, tiny.LABELS[::-1]):
        pipe.labels = labels
        tables.append({x[:3]: x[3] for x in found(nlp(tiny.SENTENCES[0]))})
    assert tables[0].keys() == tables[1].keys()
    assert all(np.isclose(tables[0][key], tables[1][key], atol=2e-5) for key in tables[0])


def test_prompts_hold_as_many_types_as_the_files_say(make_nlp, tmp_path):
    """Settings come first; what is saved says it, too."""
    path = tiny.saved("bert", tmp_path, max_types=1)

    def scores(path, **model):
        return [
            x[3] for x in found(make_nlp({"name": str(path), **model}, threshold=0.0, overlap="all")(tiny.SENTENCES[0]))
        ]

    by_files, alone, together = scores(path), scores(path, max_types=1), scores(path, max_types=len(tiny.LABELS))
    assert by_files == alone != together
    make_nlp({"name": str(path)}).to_disk(tmp_path / "saved")
    assert scores(tmp_path / "saved" / "open_ner_span" / "model") == alone


def test_windows_agree_where_they_overlap(make_nlp):
    """A span that two windows show appears once, with the better score."""
    doc = make_nlp({"window": 64}, labels=["person"], threshold=0.0, overlap="all")(tiny.long_text(150))
    spans = [x[:3] for x in found(doc)]
    assert len(spans) == len(set(spans))
