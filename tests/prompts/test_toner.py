"""ToNER's prompt: what is asked, what is taught, and answers however they went wrong."""

import pytest

from spacy_openner.errors import SettingError
from spacy_openner.prompts.toner import ToNERPrompt_v1

WORDS = ["Ann", "Bell", "lives", "in", "Oslo"]
TAGS = ["B-person", "I-person", "O", "O", "B-city"]


def test_questions_and_answers():
    prompt = ToNERPrompt_v1()
    asked = "List all named entities of type [person, city]\nText: Ann Bell lives in Oslo"
    assert prompt.render(WORDS, ["person", "city"]) == asked
    hinted = prompt.render(WORDS, ["person", "city"], hints=["city"])
    assert hinted == asked + "\nEntities of type [city] may exist in text."
    # A filter that found nothing says so.
    assert prompt.render(WORDS, ["person"], hints=[]).endswith("\nEntities of type [] may exist in text.")
    assert prompt.render(WORDS, ["person"], causal=True).startswith("[INST] List all")
    recognition = "List all entity types in the text from type [person, city]\nText: Ann Bell lives in Oslo"
    assert prompt.render_recognition(WORDS, ["person", "city"]) == recognition
    assert prompt.recognition_answer(["person", "city"]) == "[person, city]"
    assert prompt.answer(WORDS, TAGS) == "[(person, Ann Bell), (city, Oslo)]"
    assert prompt.answer(["so"], ["O"]) == "[]"
    assert "{sentence}" in prompt.render(["{labels}"], ["{sentence}"])


def test_a_frame_without_its_place_is_refused():
    with pytest.raises(SettingError, match="causal"):
        ToNERPrompt_v1(causal="[INST]")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[(person, Ann Bell), (city, Oslo)]", [("person", "Ann Bell"), ("city", "Oslo")]),
        ("[]", []),
        ("", []),
        ("nothing here", []),
        # Brackets and commas in labels and entities.
        ("[(city, town, Oslo), (film (2000), Up)]", [("city, town", "Oslo"), ("film (2000)", "Up")]),
        ("[(person, Bell (Ann)), (city, Paris, Texas)]", [("person", "Bell (Ann)"), ("city", "Paris, Texas")]),
        # Cut off, without brackets, without spaces, turned round, with another case.
        ("[(person, Ann Bell), (city, Os", [("person", "Ann Bell"), ("city", "Os")]),
        ("(person, Ann Bell), (city, Oslo)", [("person", "Ann Bell"), ("city", "Oslo")]),
        ("[(person,Ann Bell),(city,Oslo)]", [("person", "Ann Bell"), ("city", "Oslo")]),
        ("[(Ann Bell, person), (city, Oslo)]", [("person", "Ann Bell"), ("city", "Oslo")]),
        ("[(Person, Ann Bell)]", [("Person", "Ann Bell")]),
        ("[ ( person, ann bell ), ( city, oslo ) ]", [("person", "ann bell"), ("city", "oslo")]),
        # A type that nobody asked for is read, and left to the reader; an empty entity says nothing.
        ("[(planet, Mars), (person, )]", [("planet", "Mars")]),
        ("Sure! [(person, Ann Bell)] I hope this helps.", [("person", "Ann Bell")]),
    ],
)
def test_parse(answer, expected):
    words = ToNERPrompt_v1().parse(answer, ["person", "city", "city, town", "film (2000)"])
    found: list[list] = []
    for word in words:
        assert answer[word.start] == "("
        if word.tag.startswith("B-"):
            found.append([word.tag[2:], word.word])
        else:
            assert word.tag[2:] == found[-1][0]
            found[-1][1] += " " + word.word
    assert [tuple(each) for each in found] == expected


def test_explanations_are_asked_taught_and_read():
    prompt = ToNERPrompt_v1(explain=True)
    asked = "List all named entities of type [person] and give explanations.\nText: Ann Bell"
    assert prompt.render(["Ann", "Bell"], ["person"]) == asked
    why = ["'Ann Bell' is a person. She lives somewhere.", "'Oslo' is where she lives."]
    answer = prompt.answer(WORDS, TAGS, why)
    assert answer == f"Entity: [(person, Ann Bell), (city, Oslo)]\nExplanation: {' '.join(why)}"
    assert prompt.answer(["so"], ["O"]).startswith("Entity: []\nExplanation: The text")
    assert prompt.answer(WORDS, TAGS, ["", ""]) == "Entity: [(person, Ann Bell), (city, Oslo)]\nExplanation:"
    assert [word[:2] for word in prompt.parse(answer, ["person", "city"])] == [
        ("Ann", "B-person"),
        ("Bell", "I-person"),
        ("Oslo", "B-city"),
    ]
    assert prompt.parse_explanations(answer, ["Ann Bell", "Oslo"]) == why


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # Without line breaks, as some tokenizers have it; in another case; about a part of another entity.
        ("Entity: [] Explanation: ann is a person. ANN BELL is a film.", ["Ann is a person.", "ANN BELL is a film."]),
        ("Explanation: Ann Bell is a film! Ann is a person?", ["Ann is a person?", "Ann Bell is a film!"]),
        ("Entity: [(person, Ann)]", ["", ""]),
        ("Explanation:", ["", ""]),
        ("", ["", ""]),
        ("Explanation: Who knows.", ["", ""]),
    ],
)
def test_explanations_however_they_went_wrong(answer, expected):
    found = ToNERPrompt_v1(explain=True).parse_explanations(answer, ["Ann", "Ann Bell"])
    assert [text.casefold() for text in found] == [text.casefold() for text in expected]


def test_an_explanation_names_no_entities_of_the_list():
    words = ToNERPrompt_v1(explain=True).parse("Entity: [(city, Oslo)] Explanation: (city, Rome) is none.", ["city"])
    assert [word.word for word in words] == ["Oslo"]
