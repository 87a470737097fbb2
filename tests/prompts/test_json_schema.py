"""Schemas of structured answers."""

from spacy_openner.prompts.json_schema import STRING, closed_object, one_of, text_of


def test_a_closed_object_has_exactly_its_keys():
    schema = closed_object({"a": STRING, "b": one_of(["x", "y"])})
    assert schema == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string", "enum": ["x", "y"]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }


def test_texts_have_a_greatest_length():
    assert text_of(20) == {"type": "string", "maxLength": 20}
