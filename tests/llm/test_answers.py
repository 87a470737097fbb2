"""Answers of models: what is read, what is not taken for an answer, and how long that takes."""

import time

import pytest

from spacy_openner.llm.answers import parse
from spacy_openner.llm.responses import Fault
from spacy_openner.prompts.llm_annotation import annotation_schema, parse_entities

SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
ENTITIES = annotation_schema(["person", "city"], 20, 50)
CHOICES = {
    "properties": {"answers": {"type": "object", "properties": {"1": {"type": "string"}, "2": {"type": "string"}}}},
    "required": ["answers"],
}
KIM, LEE = '{"entity": "Kim", "type": "person"}', '{"entity": "Lee", "type": "person"}'
ANSWER, EMPTY = f'{{"entities": [{KIM}]}}', '{"entities": []}'

READ = {
    "alone": ANSWER,
    "a byte order mark": "\ufeff" + ANSWER,
    "further keys": f'{{"entities": [{KIM}], "sure": 0.9}}',
    "a fence": f"```\n{ANSWER}\n```",
    "a fence and prose": f"Sure!\n```json\n{ANSWER}\n```\nThat is it.",
    "a fence in one line": f"```json{ANSWER}```",
    "a fence that does not end": f"```json\n{ANSWER}",
    "a fence of waves": f"~~~json\n{ANSWER}\n~~~",
    "prose": f"Here it is: {ANSWER} Anything else?",
    "braces in prose before": f"The {{JSON}} answer: {ANSWER}",
    "brackets in prose before": f"[Note] here: {ANSWER}",
    "braces and brackets in prose behind": f"{ANSWER} hope {{this}} helps [1]",
    "twice the same": f"{ANSWER}\n```json\n{ANSWER}\n```",
    "single quotes": "{'entities': [{'entity': 'Kim', 'type': 'person'}]}",
    "single quotes in a fence": "```\n{'entities': [{'entity': 'Kim', 'type': 'person'}]}\n```",
    "trailing commas": f'{{"entities": [{KIM},],}}',
    "a comment": f'{{"entities": [ // people\n{KIM}]}}',
    "typographic quotes": "{“entities”: [{“entity”: “Kim”, “type”: “person”}]}",
    "JSON of JSON": f'"{ANSWER}"'.replace('"', '\\"')[1:-2] + '"',
    "a list alone": f"[{KIM}]",
    "a list in a fence": f"```json\n[{KIM}]\n```",
    "an item": KIM,
    "a thought": f"<think>{EMPTY}</think>{ANSWER}",
    "a thought without a beginning": f"hm {EMPTY}</think>{ANSWER}",
    "a thought behind": f"{ANSWER}<think>was that right? {EMPTY}",
    "thoughts by other names": f"<thinking>{EMPTY}</thinking>[THINK]{EMPTY}[/THINK]<reasoning>{EMPTY}</reasoning>{ANSWER}",
    "channels": f"<|channel|>analysis<|message|>{EMPTY}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    "odd items beside": f'{{"entities": [{KIM}, ["Lee", "person"], null, "Lee", {{"entity": 1984, "type": "person"}}]}}',
}
READ["JSON of JSON"] = '"' + ANSWER.replace('"', '\\"') + '"'
NONE = {
    "nothing": "",
    "blanks": "   \n",
    "null": "null",
    "prose": "There are none.",
    "a thought alone": f"<think>maybe {ANSWER}",
    "a thought alone, with a beginning": f"<thinking>{ANSWER}</thinking>",
    "a draft and a correction": f"{EMPTY}\n\nCorrection:\n{ANSWER}",
    "two fences that differ": f"```json\n{EMPTY}\n```\nFinal:\n```json\n{ANSWER}\n```",
    "a key twice": f'{{"entities": [{KIM}], "entities": []}}',
    "a key of all items twice": '{"entities": [{"entity": "Kim", "entity": "Lee", "type": "person"}]}',
    "cut": f'{{"entities": [{KIM}, {{"entity": "Le',
    "cut in single quotes": "{'entities': [{'entity': 'Kim', 'type': 'person'}, {'entity': 'Le",
    "cut behind a bracket": f'{{"entities": [{KIM}, {{"entity": "Le}}',
    "null for the list": '{"entities": null}',
    "an object for the list": '{"entities": {"person": ["Kim"]}}',
    "lists in the list": f'{{"entities": [[{KIM}]]}}',
    "pairs": '{"entities": [["Kim", "person"]]}',
    "texts": '{"entities": ["Kim"]}',
    "numbers": '{"entities": [{"entity": 1984, "type": "person"}, {"entity": "Kim", "type": 1}]}',
    "other keys": '{"entities": [{"text": "Kim", "label": "person"}]}',
    "keys in another case": '{"Entities": [{"Entity": "Kim", "Type": "person"}]}',
    "by type": '{"person": ["Kim"], "city": []}',
    "the schema": '{"type": "object", "properties": {"entities": {"type": "array"}}, "required": ["entities"]}',
    "commas": "{" + "," * 50 + "}",
    "half a comment": "{/*}",
    "a footnote": "As said in [1].",
    "half a character": '{"entities": [{"entity": "\\ud83d", "type": "person"}]}',
    "too deep": '{"entities": ' + "[" * 50_000,
    "an endless number": '{"entities": ' + "9" * 5_000,
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_answers_that_are_read(content):
    entities, n_odd = parse_entities(parse(content, ENTITIES))
    assert [tuple(each) for each in entities] == [("Kim", "person")]
    assert n_odd == (4 if "null" in content else 0)


@pytest.mark.parametrize("content", NONE.values(), ids=NONE)
def test_what_is_no_answer(content):
    """It is not taken for "no entities", nor for a part of them."""
    with pytest.raises(Fault) as caught:
        parse(content, ENTITIES)
    assert (caught.value.kind, caught.value.by_text) == ("malformed", True)


def test_items_one_by_one():
    assert parse(f"{KIM}\n{LEE}", ENTITIES) == parse(f'{{"entities": [{KIM}, {LEE}]}}', ENTITIES)
    with pytest.raises(Fault):
        parse(f"{KIM}\n{LEE}\n{{'entity': 'Bo'", ENTITIES)


@pytest.mark.parametrize("content", [EMPTY, "[]", "```json\n[]\n```", f"None: {EMPTY}", "{'entities': []}"])
def test_an_empty_list_is_an_answer(content):
    assert parse(content, ENTITIES) == {"entities": []}


def test_marks_in_strings_are_part_of_them():
    for name in ("a</think>b", "<think>", "```\nKim\n```", "{}", "]"):
        content = ANSWER.replace("Kim", name.replace("\n", "\\n"))
        assert parse(content, ENTITIES)["entities"][0]["entity"] == name


@pytest.mark.parametrize(
    ("content", "said"), [('{"said": "a"}', "a"), ('{"said": "{a}"}', "{a}"), ("x {'said': 'a'} y", "a")]
)
def test_objects(content, said):
    assert parse(content, SCHEMA)["said"] == said


@pytest.mark.parametrize("content", ["[1]", '{"other": 1}', "}{", '{"said": "\\ud83d"}'])
def test_other_objects(content):
    with pytest.raises(Fault):
        parse(content, SCHEMA)


def test_objects_in_objects():
    expected = {"answers": {"1": "A"}}
    for content in ('{"answers": {"1": "A"}}', '{"1": "A"}', "{'1': 'A'}"):
        assert parse(content, CHOICES) == expected
    assert parse('{"answers": {"1": "A", "2": "B", "2": "C"}}', CHOICES) == expected
    for content in ('{"x": "A"}', '{"answers": {}}', '{"answers": {"1": null}}', '{"answers": ["A"]}'):
        with pytest.raises(Fault):
            parse(content, CHOICES)


LONG = {
    "line breaks": "```\n" + "\n" * 300_000,
    "fences": "```\n" * 100_000,
    "braces": "{" * 300_000 + "}" * 300_000,
    "brackets": "[" * 500_000,
    "keys": '{"a": ' * 100_000,
    "quotes": "'" * 300_000,
    "objects": "{}" * 200_000 + "x",
    "thoughts": "<think>" * 100_000,
    "ends of thoughts": "</think>" * 100_000,
    # These take a library that repairs JSON minutes.
    "lists that begin": "{" + '["\\null' * 12_000 + "]" * 12_000 + "}",
    "parentheses": "{(" * 30_000 + "}" * 30_000,
    "keys that begin": "{" + "{1" * 12_000 + "}" * 12_001,
    "comments that begin": "[" + "1{*/}" * 12_000 + "]",
    "other quotes": "{" + '-"' * 30_000 + "}",
}


@pytest.mark.parametrize("content", LONG.values(), ids=LONG)
def test_reading_takes_time_by_length_alone(content):
    begun = time.process_time()
    with pytest.raises(Fault):
        parse(content, ENTITIES)
    assert time.process_time() - begun < 5


def test_long_answers_with_single_quotes():
    said = str({"entities": [{"entity": "Kim", "type": "person"}] * 1_500})
    assert len(parse(said, ENTITIES)["entities"]) == 1_500
