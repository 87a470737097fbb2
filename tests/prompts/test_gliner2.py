"""The schema in front of a text."""

from spacy_openner.prompts.gliner2 import DescribedType, closing, describe, description_text, opening, plain


def test_the_documented_schema():
    types = describe(["person", "a populated place"], ["person", "city"])
    assert types == [DescribedType("person"), DescribedType("city", "a populated place")]
    assert opening(types) == ["(", "[P]", "entities [DESCRIPTION] city: a populated place", "("]
    assert closing() == [")", ")", "[SEP_TEXT]"]


def test_without_names_each_text_is_a_name():
    assert describe(["person", "city"], ()) == [DescribedType("person"), DescribedType("city")]
    assert opening([DescribedType("person")]) == ["(", "[P]", "entities", "("]


def test_labels_cannot_pose_as_markers():
    assert plain("a [E] b [SEP_TEXT]") == "a [ E] b [ SEP_TEXT]"
    assert description_text(DescribedType("x [P]", "y [DESCRIPTION] z")) == " [DESCRIPTION] x [ P]: y [ DESCRIPTION] z"
