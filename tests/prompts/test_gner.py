"""GNER's format, to the letter, and answers that went wrong in every way that the paper and users tell of."""

import pytest

from spacy_openner.errors import SettingError
from spacy_openner.prompts.base import spans_from_tags
from spacy_openner.prompts.gner import GNERPrompt_v1

PROMPT = """\
Please analyze the sentence provided, identifying the type of entity for each word on a token-by-token basis.
Output format is: word_1(label_1), word_2(label_2), ...
We'll use the BIO-format to label the entities, where:
1. B- (Begin) indicates the start of a named entity.
2. I- (Inside) is used for words within a named entity but are not the first word.
3. O (Outside) denotes words that are not part of a named entity.

Use the specific entity tags: person, city and O.
Sentence: Ann lives in Oslo"""


def test_the_prompt_is_the_published_one():
    prompt = GNERPrompt_v1()
    words = ["Ann", "lives", "in", "Oslo"]
    assert prompt.render(words, ["person", "city"]) == PROMPT
    assert prompt.render(words, ["person", "city"], causal=True) == f"[INST] {PROMPT} [/INST]"
    assert prompt.answer(words, ["B-person", "O", "O", "B-city"]) == "Ann(B-person) lives(O) in(O) Oslo(B-city)"
    assert prompt.tags(["person", "city"]) == ["O", "B-person", "I-person", "B-city", "I-city"]


def test_placeholders_in_labels_and_texts_stay():
    text = GNERPrompt_v1().render(["{labels}", "{prompt}"], ["{sentence}"], causal=True)
    assert "entity tags: {sentence} and O" in text
    assert text.endswith("Sentence: {labels} {prompt} [/INST]")


def test_an_instruction_names_what_stands_between_labels():
    prompt = GNERPrompt_v1("<<ENT>> {labels: <<ENT>> } <<SEP>> {sentence}")
    assert (
        prompt.render(["in", "Oslo"], ["city, town", "person"]) == "<<ENT>> city, town <<ENT>> person <<SEP>> in Oslo"
    )


@pytest.mark.parametrize("setting", ["instruction", "causal"])
def test_an_instruction_without_its_places_is_refused(setting):
    with pytest.raises(SettingError, match=setting):
        GNERPrompt_v1(**{setting: "Find {labels}."})


@pytest.mark.parametrize(
    ("answer", "labels", "expected"),
    [
        (
            "Ann(B-person) in(O) Oslo(B-city)",
            ["person", "city"],
            [("Ann", "B-person"), ("in", "O"), ("Oslo", "B-city")],
        ),
        # Missing spaces.
        ("forces(O).(O)", [], [("forces", "O"), (".", "O")]),
        # Brackets and commas in labels, one label the beginning of another.
        ("Oslo(B-city (populated))", ["city", "city (populated)"], [("Oslo", "B-city (populated)")]),
        # Words that look like tags, or hold one.
        ("(O)(O) f(O)(B-person)", ["person"], [("(O)", "O"), ("f(O)", "B-person")]),
        ("((O) a(O) )(O)", [], [("(", "O"), ("a", "O"), (")", "O")]),
        # A label that was not asked for, and text without a tag at the end.
        ("Ann(B-human) and", ["person"], [("Ann", "B-human")]),
        ("", ["person"], []),
        ("no tags at all", ["person"], []),
        ("北京(B-city)大学(I-city)", ["city"], [("北京", "B-city"), ("大学", "I-city")]),
    ],
)
def test_parse(answer, labels, expected):
    words = GNERPrompt_v1().parse(answer, labels)
    assert [word[:2] for word in words] == expected
    # What was said of a word begins and ends with it.
    assert all(answer[w.start : w.end].strip().startswith(w.word) and answer[w.end - 1] == ")" for w in words)


def test_a_label_that_closes_a_bracket():
    words = GNERPrompt_v1().parse("a(B-x) y) b(O)", ["x", "x) y"])
    assert [word[:2] for word in words] == [("a", "B-x) y"), ("b", "O")]


TOKYO = ["John", "explored", "Tokyo", ",", "and", "flew", "back", "to", "New", "York", "."]
TOKYO_TAGS = ["B-Person", "O", "B-Location", "O", "O", "O", "O", "O", "B-Location", "I-Location", "O"]


@pytest.mark.parametrize(
    ("target", "context", "answer"),
    [
        ("entities", None, "[John](Person) [Tokyo](Location) [New York](Location)"),
        ("context", 1, "[John](Person) explored [Tokyo](Location) , to [New York](Location) ."),
        ("context", None, "[John](Person) explored [Tokyo](Location) , and flew back to [New York](Location) ."),
        (
            "bioes",
            None,
            "John(S-Person) explored(O) Tokyo(S-Location) ,(O) and(O) flew(O) back(O) to(O) New(B-Location) "
            "York(E-Location) .(O)",
        ),
    ],
)
def test_the_other_targets_of_the_paper(target, context, answer):
    prompt = GNERPrompt_v1(target=target, context=context)
    assert prompt.answer(TOKYO, TOKYO_TAGS) == answer
    read = prompt.parse(answer, ["Person", "Location"])
    said = dict(zip(TOKYO, TOKYO_TAGS, strict=True))
    assert all(said[each.word] == each.tag for each in read)
    assert {each.word for each in read} >= {"John", "Tokyo", "New", "York"}


@pytest.mark.parametrize("settings", [{"target": "magic"}, {"context": 0}])
def test_targets_are_checked(settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        GNERPrompt_v1(**settings)


def tags_of(n_words, spans):
    tags = ["O"] * n_words
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tags


def test_tags_and_spans_are_each_others_inverse():
    spans = [(0, 2, "a"), (2, 3, "a"), (5, 6, "b")]
    assert tags_of(6, spans) == ["B-a", "I-a", "B-a", "O", "O", "B-b"]
    assert spans_from_tags(tags_of(6, spans)) == spans
    # An I- that continues nothing is not lost.
    assert spans_from_tags(["I-a", "I-a", "O", "I-b", "I-a"]) == [(0, 2, "a"), (3, 4, "b"), (4, 5, "a")]
