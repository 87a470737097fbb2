"""UniversalNER's conversation: one type a question, answers however they went wrong, and what a model is asked."""

import pytest
import spacy

from spacy_openner.errors import SettingError
from spacy_openner.models.generator.checkpoint import load
from spacy_openner.models.generator.prompt_windows import DecodingSettings, TaggingQuery, plan_windows
from spacy_openner.models.words import doc_words
from spacy_openner.prompts.uniner import CONVERSATION, UniNERPrompt_v1
from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests.support import tiny_models as tiny
from tests.support.generator_case import TRAIN, examples

WORDS = ["Ann", "Bell", "lives", "in", "Oslo"]


def test_questions_and_answers():
    prompt = UniNERPrompt_v1()
    # The conversation that the published checkpoints know, letter for letter.
    assert prompt.render(WORDS, ["city"], causal=True) == (
        "A virtual assistant answers questions from a user based on the provided text. "
        "USER: Text: Ann Bell lives in Oslo ASSISTANT: I’ve read this text.</s>"
        "USER: What describes city in the text? ASSISTANT:"
    )
    assert prompt.answer(WORDS, ["B-person", "I-person", "O", "O", "B-person"]) == '["Ann Bell", "Oslo"]'
    assert prompt.answer(["so"], ["O"]) == "[]"
    assert prompt.answer(['"Å"'], ["B-x"]) == r'["\"Å\""]'
    assert "{sentence}" in prompt.render(["{label}"], ["{sentence}"])
    assert UniNERPrompt_v1("{label}? {sentence}").render(WORDS, ["city"]) == "city? Ann Bell lives in Oslo"


@pytest.mark.parametrize("conversation", ["{label}", "{sentence}", ""])
def test_a_conversation_without_its_places_is_refused(conversation):
    with pytest.raises(SettingError, match="conversation"):
        UniNERPrompt_v1(conversation)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('["Ann Bell", "Oslo"]', ["Ann Bell", "Oslo"]),
        ("[]", []),
        ("", []),
        ('[""]', []),
        ("There is nothing of the kind.", []),
        # Commas, brackets and quotes in entities.
        ('["Paris, Texas", "Up (film)", "a]b"]', ["Paris, Texas", "Up (film)", "a]b"]),
        (r'["the \"Rock\"", "C:\\"]', ['the "Rock"', "C:\\"]),
        ('["the "Rock" band", "Oslo"]', ['the "Rock" band', "Oslo"]),
        # Cut off, moved spaces, other quotes, something around it.
        ('["Ann Bell", "Os', ["Ann Bell", "Os"]),
        ('[ " ann bell " , " oslo " ]', ["ann bell", "oslo"]),
        ("['Ann Bell', \"O'Hara\"]", ["Ann Bell", "O'Hara"]),
        ('Sure: ["Ann Bell"]', ["Ann Bell"]),
        ('["Oslo", "Oslo"]', ["Oslo", "Oslo"]),
    ],
)
def test_parse(answer, expected):
    found: list[str] = []
    for word in UniNERPrompt_v1().parse(answer, ["place"]):
        assert answer[word.start] in "\"'"
        if word.tag == "B-place":
            found.append(word.word)
        else:
            assert word.tag == "I-place"
            found[-1] += " " + word.word
    assert found == expected


@pytest.mark.parametrize("most", [None, 1, 5])
def test_each_type_has_a_prompt_of_its_own(most, tmp_path):
    generator = load(tiny.saved_generator("llama", tmp_path / "model"))
    question = TaggingQuery(
        doc_words(spacy.blank("en")("Ann Bell lives in Oslo"), "spacy"), ["person", "city", "award"]
    )
    jobs = list(plan_windows(generator, UniNERPrompt_v1(), question, 0, DecodingSettings(max_types=most)))
    assert [list(job.types) for job in jobs] == [[0], [1], [2]]


def pipeline(path, labels, **prompt):
    """A tiny random model of the published checkpoints' kind, with pieces for such conversations."""
    tokenizer = tiny.generator_tokenizer("llama", [CONVERSATION, '["Ann Bell", "Oslo"] met Carl, Rome far'])
    network = tiny.generator_network("llama", tokenizer)
    for part in (network, tokenizer):
        part.save_pretrained(path)
    nlp = spacy.blank("en")
    settings = {
        "labels": labels,
        "decoding": "free",
        "loss": "answer",
        "model": {"@architectures": "spacy-openner.Generator.v1", "name": str(path), "precision": "float32"},
        "prompt": {"@misc": "spacy-openner.UniNERPrompt.v1", **prompt},
    }
    nlp.add_pipe("gner_generator", config=settings)
    nlp.initialize()
    return nlp


def test_all_types_are_asked_and_their_answers_found(tmp_path, monkeypatch):
    nlp, asked = pipeline(tmp_path / "model", ["person", "city"]), []

    def say(generator, ids, *args):
        asked.extend(generator.tokenizer.batch_decode(ids, skip_special_tokens=True))
        return [generator.tokenizer('["Oslo"]', add_special_tokens=False)["input_ids"]] * len(ids)

    monkeypatch.setattr("spacy_openner.models.generator.interface.generate", say)
    doc = nlp("Ann lives in Oslo")
    assert sorted(text.partition("describes")[2].split()[0] for text in asked) == ["city", "person"]
    # Both types claim the same word: the scores decide for the entities, and both may be had.
    assert len(doc.ents) <= 1
    pipe = nlp.get_pipe("gner_generator")
    pipe.overlap, pipe.threshold = "all", 0.0
    doc = nlp(doc.text)
    assert sorted((span.text, span.label_) for span in doc.spans["openner"]) == [("Oslo", "city"), ("Oslo", "person")]


def test_a_model_learns_to_answer(tmp_path):
    nlp = pipeline(tmp_path / "model", ["person", "city"], conversation="Text: {sentence} describes {label} ASSISTANT:")
    data = examples(nlp)[:2]
    optimizer = LayerwiseAdam_v1(3e-3)
    for _ in range(800):
        if nlp.update(data, sgd=optimizer, drop=0.0)["gner_generator"] < 0.01:
            break
    docs = [nlp(each.predicted) for each in data]
    assert [[x[:3] for x in tiny.found(doc)] for doc in docs] == [spans for _, spans in TRAIN[:2]]
    assert all(0.8 < score <= 1 for doc in docs for *_, score in tiny.found(doc))
