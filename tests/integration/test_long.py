"""A doc of 100,000 words: its end is read."""

import pytest
import spacy


@pytest.mark.slow
def test_the_end_of_100_000_words_is_read():
    nlp = spacy.blank("en")
    nlp.max_length = 10_000_000
    nlp.add_pipe("open_ner_span", config={"labels": ["person", "location"], "threshold": 0.3})
    doc = nlp("It was raining , and nobody had brought an umbrella . " * 10_000 + "Marie Curie moved to Warsaw .")
    assert len(doc) > 100_000
    assert [ent.text for ent in doc.ents][-2:] == ["Marie Curie", "Warsaw"]
