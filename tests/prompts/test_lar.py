"""LAR's lines, rendered and parsed."""

import time

import pytest

from spacy_openner.errors import SettingError
from spacy_openner.prompts.lar import NONE, LARPrompt_v1, Line

PROMPT = LARPrompt_v1()
SOURCES = ("person", "location", "per", "a : b")
TARGETS = ("politician", "person", "city, town", "city", NONE)
LINES = [
    Line("person", "Angela Merkel", "politician"),
    Line("location", "Oslo", "city, town"),
    Line("person", "X -> politician", NONE),
    Line("a : b", "per : Kim", "person"),
]


def test_lines():
    assert PROMPT.line("person", "Einstein", "scientist") == "person : Einstein -> scientist"
    assert PROMPT.line("person", "Albert\nEinstein") == "person : Albert Einstein"


def test_render():
    asked = PROMPT.render("Kim {targets}\nleft", ["person"], ["city", NONE])
    assert asked.splitlines()[-3:] == ["Source types: person.", "Target types: city, none.", "Text: Kim {targets} left"]
    assert PROMPT.render("Kim", ["person"], [], causal=True).startswith("[INST] Find")


@pytest.mark.parametrize("joint", ["\n", " ", "\n\n", " \n "])
def test_answers_are_read_back(joint):
    answer = PROMPT.answer(LINES).replace("\n", joint)
    assert PROMPT.parse(answer, SOURCES, TARGETS) == LINES


def test_answers_of_the_source_domain():
    lines = [Line("person", "Kim : Lee"), Line("location", "New Oslo")]
    assert PROMPT.parse(PROMPT.answer(lines), SOURCES) == lines


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", []),
        ("person : Kim", []),
        ("person : Kim -> astronaut", []),
        ("robot : Kim -> city", []),
        ("person :  -> city", []),
        ("nonsense\nperson : Kim -> city\nmore", [Line("person", "Kim", "city")]),
    ],
)
def test_what_fits_no_line_is_left_out(answer, expected):
    assert PROMPT.parse(answer, SOURCES, TARGETS) == expected


@pytest.mark.parametrize("settings", [{"instruction": "{sources} {targets}"}, {"causal": "no place"}])
def test_missing_placeholders(settings):
    with pytest.raises(SettingError, match="O001"):
        LARPrompt_v1(**settings)


@pytest.mark.parametrize("targets", [["politician"], []], ids=["targets", "none"])
@pytest.mark.parametrize(
    "answer",
    [
        "person : Ada " * 20_000,
        "person : " * 30_000,
        "person : Ada" + " " * 200_000 + "x",
        "person : Ada -> " * 20_000,
        "person : Ada -> politician x " * 10_000,
        "person : Ada\n" * 20_000,
    ],
    ids=["no arrow", "no span", "blanks", "no target", "more behind it", "lines"],
)
def test_reading_takes_time_by_length_alone(answer, targets):
    begun = time.process_time()
    LARPrompt_v1().parse(answer, ["person", "place"], targets)
    assert time.process_time() - begun < 5
