import pickle
import random

import pytest
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab

from spacy_openner.scoring.entities import ERROR_KINDS, make_entity_scorer, score_entities, taxonomy

VOCAB = Vocab()
WORDS = ["Marie", "Curie", "won", "the", "Nobel", "Prize", "in", "Paris"]
COUNTS = {"openner_unaligned": {"predicted": 0, "gold": 0}, "openner_skipped": 0}


def make_doc(spans=None, words=WORDS, spaces=None, key=None):
    """A doc with (start, end, label) entities, under a key or as doc.ents; None: no annotation."""
    doc = Doc(VOCAB, words=words, spaces=spaces or [True] * (len(words) - 1) + [False] * bool(words))
    if spans is not None:
        made = [Span(doc, start, end, label=label) for start, end, label in spans]
        if key is None:
            doc.ents = made
        else:
            doc.spans[key] = made
    return doc


def score(predicted, gold, key=None):
    return score_entities([Example(make_doc(predicted, key=key), make_doc(gold, key=key))], spans_key=key)


def nonzero(errors):
    return {f"{kind}_{side}": n for kind, sides in errors.items() for side, n in sides.items() if n}


PERSON, AWARD, PLACE = (0, 2, "person"), (4, 6, "award"), (7, 8, "place")


def test_exact():
    scores = score([PERSON, AWARD, PLACE], [PERSON, AWARD, PLACE])
    assert [scores[f"openner_{name}"] for name in ("p", "r", "f", "macro_f")] == [1, 1, 1, 1]
    assert not nonzero(scores["openner_errors"])
    assert scores.items() >= COUNTS.items()


@pytest.mark.parametrize(
    ("predicted", "gold", "errors"),
    [
        ([], [PERSON], {"unlabelled_fn": 1}),
        ([PERSON], [], {"spurious_fp": 1}),
        ([PLACE], [PERSON], {"spurious_fp": 1, "unlabelled_fn": 1}),
        ([(0, 2, "place")], [PERSON], {"noisy_fp": 1, "noisy_fn": 1}),
        ([(0, 1, "person")], [PERSON], {"boundary_fp": 1, "boundary_fn": 1}),
        ([(1, 3, "person")], [PERSON], {"boundary_fp": 1, "boundary_fn": 1}),
        ([(0, 4, "person")], [PERSON], {"boundary_fp": 1, "boundary_fn": 1}),
        ([(0, 1, "person"), (1, 2, "person")], [PERSON], {"boundary_fp": 2, "boundary_fn": 1}),
        ([(0, 3, "place")], [PERSON], {"noisy_boundary_fp": 1, "noisy_boundary_fn": 1}),
        # One prediction over two entities is best explained by the one of its type.
        ([(0, 6, "award")], [PERSON, AWARD], {"boundary_fp": 1, "boundary_fn": 1, "noisy_boundary_fn": 1}),
        # Neighbours do not touch.
        ([(2, 3, "person")], [PERSON], {"spurious_fp": 1, "unlabelled_fn": 1}),
        # Several types on one span, or entities in entities: what was found is not blamed for a miss ...
        ([PERSON], [PERSON, (0, 2, "scientist")], {"unlabelled_fn": 1}),
        ([(0, 6, "event")], [(0, 6, "event"), PERSON], {"unlabelled_fn": 1}),
        # ... and a wrong prediction is about the entity that it lies on, found or not.
        ([PERSON, (0, 2, "place")], [PERSON], {"noisy_fp": 1}),
        ([PERSON, (0, 1, "person")], [PERSON], {"boundary_fp": 1}),
    ],
)
def test_taxonomy(predicted, gold, errors):
    counts = taxonomy(set(gold), set(predicted))
    assert tuple(counts) == ERROR_KINDS
    assert nonzero(counts) == errors
    scores = score(predicted, gold, key="k")
    assert scores["openner_errors"] == counts
    right = len(set(predicted) & set(gold))
    assert scores["openner_p"] == (right / len(predicted) if predicted else 0)
    assert scores["openner_r"] == (right / len(gold) if gold else 0)


def test_taxonomy_is_a_partition():
    rng = random.Random(0)
    for _ in range(200):
        gold, predicted = random_spans(rng, 6), random_spans(rng, 6)
        counts = taxonomy(gold, predicted)
        assert sum(sides["fp"] for sides in counts.values()) == len(predicted - gold)
        assert sum(sides["fn"] for sides in counts.values()) == len(gold - predicted)
        assert counts["unlabelled"]["fp"] == counts["spurious"]["fn"] == 0


def test_nested_and_duplicates():
    gold = [(0, 6, "event"), PERSON, AWARD]
    scores = score([*gold, PERSON, PERSON], [*gold, AWARD], key="k")
    assert scores["openner_f"] == 1
    assert scores["openner_per_type"]["person"] == {"p": 1, "r": 1, "f": 1, "tp": 1, "fp": 0, "fn": 0}
    scores = score([PERSON, (0, 1, "person")], gold, key="k")
    assert (scores["openner_p"], scores["openner_r"]) == (1 / 2, 1 / 3)


def test_per_type_and_macro():
    scores = score([PERSON, (4, 6, "place"), (3, 4, "tool")], [PERSON, AWARD, PLACE])
    assert list(scores["openner_per_type"]) == ["award", "person", "place", "tool"]
    counts = {label: (s["tp"], s["fp"], s["fn"]) for label, s in scores["openner_per_type"].items()}
    assert counts == {"award": (0, 0, 1), "person": (1, 0, 0), "place": (0, 1, 1), "tool": (0, 1, 0)}
    assert scores["openner_f"] == pytest.approx(1 / 3)
    # The type that was only predicted has no part in the mean.
    assert scores["openner_macro_f"] == pytest.approx(1 / 3)
    assert score([PERSON], [])["openner_macro_f"] == 0


# The text is "New York-based". Entities are given in each doc's own tokens.
ONE, TWO, SUB = ["New York-based"], ["New", "York-based"], ["New", "York", "-", "based"]


@pytest.mark.parametrize(
    ("words", "predicted", "gold_words", "gold", "tp", "unaligned"),
    [
        (SUB, [(0, 2, "place")], SUB, [(0, 2, "place")], 1, (0, 0)),
        (SUB, [(0, 4, "place")], TWO, [(0, 2, "place")], 1, (0, 0)),
        (TWO, [(0, 1, "place")], SUB, [(0, 1, "place")], 1, (0, 0)),
        (ONE, [(0, 1, "place")], SUB, [(0, 4, "place")], 1, (0, 0)),
        # The prediction ends inside a gold token: spaCy would drop it, and say nothing of the false positive.
        (SUB, [(0, 2, "place")], TWO, [(0, 2, "place")], 0, (1, 0)),
        (SUB, [(0, 2, "place")], TWO, [], 0, (1, 0)),
        (SUB, [(1, 2, "place")], ONE, [(0, 1, "place")], 0, (1, 0)),
        # The gold entity ends inside a predicted token: it cannot be found.
        (TWO, [(0, 2, "place")], SUB, [(0, 2, "place")], 0, (0, 1)),
        (TWO, [], SUB, [(0, 2, "place")], 0, (0, 1)),
        (ONE, [(0, 1, "place")], SUB, [(0, 2, "place"), (3, 4, "place")], 0, (0, 2)),
    ],
)
@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("same_text", [True, False])
def test_misaligned(words, predicted, gold_words, gold, tp, unaligned, key, same_text):
    spaces = {1: [False], 2: [True, False], 4: [True, False, False, False]}
    # Without known spaces the reference reads "New York - based ", and capitals may differ.
    gold_spaces = spaces[len(gold_words)] if same_text else [True] * len(gold_words)
    gold_words = gold_words if same_text else [word.upper() for word in gold_words]
    example = Example(make_doc(predicted, words, spaces[len(words)], key), make_doc(gold, gold_words, gold_spaces, key))
    scores = score_entities([example], spans_key=key)
    assert scores["openner_unaligned"] == dict(zip(("predicted", "gold"), unaligned, strict=True))
    counts = scores["openner_per_type"]["place"]
    assert (counts["tp"], counts["fp"], counts["fn"]) == (tp, len(predicted) - tp, len(gold) - tp)


def test_where_spacy_hides_a_false_positive():
    predicted = make_doc([(0, 1, "place"), (1, 2, "place")], SUB, [True, False, False, False], "k")
    example = Example(predicted, make_doc([(0, 1, "place")], TWO, key="k"))
    hidden = Scorer.score_spans([example], "k", getter=lambda doc, key: doc.spans[key], allow_overlap=True)
    assert hidden["k_p"] == 1
    assert score_entities([example], spans_key="k")["openner_p"] == 1 / 2


def test_other_text():
    example = Example(make_doc([]), make_doc([], words=["something", "else"]))
    with pytest.raises(ValueError, match="E949"):
        score_entities([example])
    # Lowering lengthens this capital.
    example = Example(make_doc([(1, 2, "x")], ["İ", "a"]), make_doc([(1, 2, "x")], ["i̇", "A"]))
    assert score_entities([example])["openner_f"] == 1


@pytest.mark.parametrize("key", [None, "k"])
def test_nothing_to_score(key):
    empty = Example(make_doc([], words=[], key=key), make_doc([], words=[], key=key))
    silent = Example(make_doc([], key=key), make_doc([], key=key))
    for examples in ([], [empty], [silent, empty], iter([silent])):
        scores = score_entities(examples, spans_key=key)
        assert all(scores[f"openner_{name}"] is None for name in ("p", "r", "f", "macro_f", "per_type"))
        assert scores.items() >= COUNTS.items()
        assert not nonzero(scores["openner_errors"])


@pytest.mark.parametrize("key", [None, "k"])
def test_docs_without_annotation(key):
    bare = Example(make_doc([PERSON], key=key), make_doc())
    scores = score_entities([bare], spans_key=key)
    assert scores["openner_f"] is None
    assert scores["openner_skipped"] == 1
    # An unannotated prediction is no reason to skip: everything was missed.
    missed = Example(make_doc(), make_doc([PERSON], key=key))
    scores = score_entities([bare, missed], spans_key=key)
    assert (scores["openner_p"], scores["openner_r"], scores["openner_skipped"]) == (0, 0, 1)


def test_partly_annotated_reference():
    reference = make_doc()
    reference.set_ents([Span(reference, 0, 2, label="person")], missing=[reference[4:8]])
    example = Example(make_doc([PERSON, (3, 5, "award"), PLACE, (2, 3, "tool")]), reference)
    scores = score_entities([example])
    assert scores["openner_p"] == get_ner_prf([example])["ents_p"] == 1 / 2
    assert nonzero(scores["openner_errors"]) == {"spurious_fp": 1}


def random_spans(rng, n):
    words = len(WORDS)
    starts = [rng.randrange(words) for _ in range(rng.randrange(n + 1))]
    return {(s, rng.randint(s + 1, min(words, s + 3)), rng.choice(["a", "b", "c"])) for s in starts}


def flat(spans):
    kept = []
    for span in sorted(spans):
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_spacy_where_tokens_align(seed):
    rng = random.Random(seed)
    pairs = [(random_spans(rng, 6), random_spans(rng, 6)) for _ in range(30)]
    nested = [Example(make_doc(p, key="k"), make_doc(g, key="k")) for p, g in pairs]
    nested.append(Example(make_doc([PERSON], key="k"), make_doc()))
    theirs = Scorer.score_spans(
        nested,
        "k",
        getter=lambda doc, key: doc.spans.get(key, []),
        has_annotation=lambda doc: "k" in doc.spans,
        allow_overlap=True,
    )
    assert_agree(score_entities(nested, spans_key="k"), theirs, "k")
    ents = [Example(make_doc(flat(p)), make_doc(flat(g))) for p, g in pairs]
    assert_agree(score_entities(ents), get_ner_prf(ents), "ents")


def assert_agree(ours, theirs, attr):
    for name in "prf":
        assert ours[f"openner_{name}"] == pytest.approx(theirs[f"{attr}_{name}"])
    per_type = {label: {name: s[name] for name in "prf"} for label, s in ours["openner_per_type"].items()}
    assert per_type == theirs[f"{attr}_per_type"]


def test_made_scorer():
    scorer = make_entity_scorer(spans_key="k", prefix="mine")
    examples = [Example(make_doc([PERSON], key="k"), make_doc([PERSON, AWARD], key="k"))]
    names = {f"mine_{n}" for n in ("p", "r", "f", "macro_f", "per_type", "errors", "unaligned", "skipped")}
    assert scorer(examples, threshold=0.5).keys() == names
    assert pickle.loads(pickle.dumps(scorer))(examples) == scorer(examples)


def test_registered():
    if not registry.has("scorers", "spacy-openner.entity_scorer.v1"):
        pytest.skip("the package is not installed")
    assert registry.get("scorers", "spacy-openner.entity_scorer.v1") is make_entity_scorer
