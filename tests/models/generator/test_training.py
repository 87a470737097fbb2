"""Training of gner_generator: real updates of tiny random generators."""

import math
import sys

import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example

from spacy_openner.errors import MissingExtra, SettingError
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator.new_decoder import TAGS, warm_started
from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.prompts.gner import INSTRUCTION, GNERPrompt_v1
from spacy_openner.prompts.toner import ToNERPrompt_v1
from spacy_openner.training.losses import type_classification
from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests.support import tiny_models as tiny
from tests.support.generator_case import PROMPT, TRAIN, examples, pipeline


@pytest.mark.parametrize("kind", ["t5", "bert", "llama", "bart"])
def test_overfitting_IO(kind, tmp_path):
    nlp = pipeline(tiny.saved_generator(kind, tmp_path / "model", seed=2, layers=1), labels=["person", "city"])
    nlp.initialize(lambda: examples(nlp))
    optimizer = LayerwiseAdam_v1(6e-3)
    for _ in range(200):
        losses = nlp.update(examples(nlp), sgd=optimizer, drop=0.0)
        if losses["gner_generator"] < 0.005:
            break
    expected = [[(start, end, label) for start, end, label in spans] for _, spans in TRAIN]
    docs = [eg.predicted for eg in examples(nlp)]
    assert [[x[:3] for x in tiny.found(nlp(doc))] for doc in docs] == expected
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    docs = [eg.predicted for eg in examples(loaded)]
    assert [[x[:3] for x in tiny.found(loaded(doc))] for doc in docs] == expected
    assert min(x[3] for doc in docs for x in tiny.found(doc)) > 0.9


TONER = {"@misc": "spacy-openner.ToNERPrompt.v1"}


@pytest.mark.parametrize(
    "prompt",
    [
        {**PROMPT, "target": "bioes"},
        {**PROMPT, "target": "context", "context": 1},
        {**PROMPT, "target": "entities"},
        TONER,
    ],
)
def test_every_target_can_be_learnt(prompt, tmp_path):
    path = tiny.saved_generator("t5", tmp_path / "model", seed=2, layers=1)
    nlp = pipeline(path, labels=["person", "city"], decoding="free", loss="answer", prompt=prompt)
    optimizer, taught = LayerwiseAdam_v1(1.5e-2), examples(nlp)[:2]
    for _ in range(600):
        losses = nlp.update(taught, sgd=optimizer, drop=0.0)
        if losses["gner_generator"] < 0.01:
            break
    docs = [nlp(eg.predicted) for eg in examples(nlp)[:2]]
    expected = [[(start, end, label) for start, end, label in spans] for _, spans in TRAIN[:2]]
    assert [[x[:3] for x in tiny.found(doc)] for doc in docs] == expected
    # What was learnt so well is said surely.
    assert all(0.8 < score <= 1 for doc in docs for *_, score in tiny.found(doc))


def test_free_answers_may_have_types_that_look_the_same(t5):
    # Letters that its tokenizer does not know.
    labels = {"person": "person ж", "other": "person щ"}
    nlp = pipeline(t5, labels=labels, use_descriptions=True, decoding="free", loss="answer", prompt=PROMPT)
    data = examples(nlp)
    for each in data:
        each.reference._.openner_labels = labels
    nlp.get_pipe("gner_generator").sampler = lambda present, annotated_types: annotated_types
    nlp.get_pipe("gner_generator").loss = "choices"
    with pytest.raises(SettingError, match="O013"):
        nlp.update(data, sgd=LayerwiseAdam_v1(1e-3))
    nlp.get_pipe("gner_generator").loss = "answer"
    assert nlp.update(data, sgd=LayerwiseAdam_v1(1e-3))["gner_generator"] > 0


def test_explanations_are_taught_and_stand_beside_the_spans(t5, tmp_path, monkeypatch):
    nlp = pipeline(t5, labels=["person", "city"], decoding="free", loss="answer", prompt={**TONER, "explain": True})
    pipe = nlp.get_pipe("gner_generator")
    pipe.sampler = lambda present, annotated_types: {label: label for label in annotated_types}
    tokenizer = pipe.model.shims[0].generator.tokenizer
    why = ["Ann Bell is a person .", "Oslo is a city ."]
    data = examples(nlp)[0]
    data.reference.spans["openner"] = list(data.reference.ents)
    data.reference.spans["openner"].attrs["explanations"] = why
    (batch,) = pipe._training_batches(pipe._training_texts([data]))
    right = "Entity: [(person, Ann Bell), (city, Oslo)]\nExplanation: " + " ".join(why)
    pieces = tokenizer(right, add_special_tokens=False)["input_ids"]
    assert [target.gold for target in batch.targets[0]][:-1] == pieces
    # What the model would say then is read, and stands beside the spans.
    monkeypatch.setattr("spacy_openner.models.generator.interface.generate", lambda *args: [pieces])
    doc = nlp(TRAIN[0][0])
    assert [(span.text, span.label_) for span in doc.spans["openner"]] == [("Ann Bell", "person"), ("Oslo", "city")]
    # Its tokenizer has no "A".
    assert doc.spans["openner"].attrs["explanations"] == [text.replace("A", "") for text in why]
    doc.to_disk(tmp_path / "doc")
    again = Doc(nlp.vocab).from_disk(tmp_path / "doc")
    assert again.spans["openner"].attrs["explanations"] == doc.spans["openner"].attrs["explanations"]


def test_types_are_learnt_beside_answers(t5, tmp_path):
    """ToNER's two further tasks: the loss has their parts, and the classifier is saved to be trained on."""
    nlp = pipeline(
        t5,
        labels=["person", "city"],
        decoding="free",
        loss="answer",
        prompt=TONER,
        type_recognition_ratio=0.5,
        type_classification_weight=0.1,
    )
    nlp.initialize(lambda: examples(nlp))
    shim = nlp.get_pipe("gner_generator").model.shims[0]
    before = shim.classifier.weight.detach().clone()
    optimizer = LayerwiseAdam_v1(3e-3)
    first = nlp.update(examples(nlp), sgd=optimizer)["gner_generator"]
    for _ in range(15):
        last = nlp.update(examples(nlp), sgd=optimizer)["gner_generator"]
    assert last < first
    assert not torch.equal(shim.classifier.weight, before)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert torch.equal(loaded.get_pipe("gner_generator").model.shims[0].classifier.weight, shim.classifier.weight)
    assert loaded.update(examples(loaded), sgd=optimizer)["gner_generator"] < first


def test_a_classifier_needs_labels_and_no_initialize(t5):
    nlp = pipeline(t5, labels=[], loss="answer", type_classification_weight=0.1)
    with pytest.raises(SettingError, match="O017"):
        nlp.initialize(list)
    nlp.get_pipe("gner_generator").labels = ["person", "city"]
    nlp.update(examples(nlp), sgd=LayerwiseAdam_v1(1e-3))
    # Another number of types: another classifier.
    nlp.get_pipe("gner_generator").labels = ["person", "city", "river"]
    nlp.update(examples(nlp), sgd=LayerwiseAdam_v1(1e-3))
    assert nlp.get_pipe("gner_generator").model.shims[0].classifier.out_features == 3


def test_what_rows_of_further_tasks_ask_and_answer(t5):
    nlp = pipeline(
        t5, labels=["person", "city"], decoding="free", loss="answer", prompt=TONER, type_recognition_ratio=1.0
    )
    pipe = nlp.get_pipe("gner_generator")
    pipe.sampler = lambda present, annotated_types: {label: label for label in annotated_types}
    tokenizer = pipe.model.shims[0].generator.tokenizer
    (batch,) = pipe._training_batches(pipe._training_texts(examples(nlp)))
    answers = ["[person, city]", "[person, city]", "[city]", "[]"]
    said = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in answers]
    assert sorted([target.gold for target in each][:-1] for each in batch.targets) == sorted(said)
    asked = ToNERPrompt_v1().render_recognition(TRAIN[3][0].split(), ["person", "city"])
    ids = tokenizer(asked)["input_ids"]
    assert ids in [each[: len(ids)].tolist() for each in batch.ids]


def test_the_loss_of_types_is_the_papers():
    """Equation 5, by a plain formula: absent types cost by high scores, present ones by low ones, unknown ones not."""
    marks = torch.tensor([[1, -1, 0], [-1, -1, 1]])
    scores = torch.tensor([[0.3, -1.2, 9.0], [0.1, 2.0, -0.7]])
    rows = [
        math.log(1 + math.exp(-1.2)) + math.log(1 + math.exp(-0.3)),
        math.log(1 + math.exp(0.1) + math.exp(2.0)) + math.log(1 + math.exp(0.7)),
    ]
    assert type_classification(scores, marks == 1, marks == -1).item() == pytest.approx(sum(rows), rel=1e-5)


def test_marks_are_of_the_window_and_unknown_where_annotation_is(t5):
    nlp = pipeline(t5, labels=["person", "city", "river"], loss="choices", type_classification_weight=0.1)
    pipe = nlp.get_pipe("gner_generator")
    pipe.sampler = lambda present, annotated_types: {label: label for label in annotated_types if label != "river"}
    lessons = pipe._training_texts(examples(nlp)[2:])
    gap = lessons[1]._replace(unknown=[(0, 1)])
    rows = [each.type_targets.tolist() for each in pipe._training_batches([*lessons, gap])]
    assert sorted(row for each in rows for row in each) == sorted([[-1, 1, 0], [-1, -1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"type_recognition_ratio": 0.5}, "O015"),
        ({"type_recognition_ratio": 0.5, "loss": "answer"}, "O015"),
        ({"type_recognition_ratio": 2.0}, "type_recognition_ratio"),
        ({"type_classification_weight": -1.0}, "type_classification_weight"),
        ({"label_hints": "maybe"}, "label_hints"),
    ],
)
def test_further_tasks_that_cannot_be(t5, settings, code):
    with pytest.raises(SettingError, match=code):
        pipeline(t5, **settings)


def test_choices_are_no_loss_for_lists(t5):
    nlp = pipeline(t5, labels=["person"], decoding="free", prompt=TONER)
    with pytest.raises(SettingError, match="O016"):
        nlp.update(examples(nlp), sgd=LayerwiseAdam_v1(1e-3))


def test_a_causal_model_has_no_encoder_to_classify_by(tmp_path):
    nlp = pipeline(tiny.saved_generator("llama", tmp_path / "model"), labels=["person"], type_classification_weight=0.1)
    with pytest.raises(SettingError, match="type_classification_weight"):
        nlp.initialize(lambda: examples(nlp))


def test_likely_types_are_hints(t5):
    settings = {"labels": ["person", "city"], "decoding": "free", "loss": "answer", "prompt": TONER}
    nlp = pipeline(t5, **settings, label_hints="hint")
    pipe = nlp.get_pipe("gner_generator")
    doc = nlp.make_doc("Ann lives in Oslo")
    assert pipe._question(doc, pipe.settings.labels).hints is None
    doc._.openner_labels = ["city", "river"]
    assert pipe._question(doc, pipe.settings.labels).hints == [1]
    narrow = pipeline(t5, **settings).get_pipe("gner_generator")
    assert narrow._question(doc, narrow.settings.labels).hints is None
    example = Example(examples(nlp)[0].predicted, examples(nlp)[0].reference)
    example.predicted._.openner_labels = ["city", "river"]
    pipe.sampler = lambda present, annotated_types: {label: label for label in annotated_types}
    (batch,) = pipe._training_batches(pipe._training_texts([example]))
    asked = ToNERPrompt_v1().render(TRAIN[0][0].split(), ["person", "city"], hints=["city"])
    assert batch.ids[0].tolist() == pipe.model.shims[0].generator.tokenizer(asked)["input_ids"]


def test_the_loss_is_the_one_of_transformers(t5):
    """The loss "answer" beside the labels argument of the model itself, one text, no dropout."""
    nlp = pipeline(t5, labels=["person", "city"], loss="answer")
    pipe = nlp.get_pipe("gner_generator")
    pipe.sampler = lambda present, annotated_types: {"person": "person", "city": "city"}
    eg = examples(nlp)[0]
    ours = nlp.update([eg], sgd=False, drop=0.0)["gner_generator"]
    generator = pipe.model.shims[0].generator
    words = [token.text for token in eg.predicted]
    ids, mask = generator.encode_prompts([pipe.prompt.render(words, ["person", "city"])])
    answer = pipe.prompt.answer(words, ["B-person", "I-person", "O", "O", "B-city"])
    wanted = torch.tensor([[*generator.tokenizer(answer, add_special_tokens=False)["input_ids"], generator.end]])
    with torch.inference_mode():
        theirs = generator.network.eval()(input_ids=ids, attention_mask=mask, labels=wanted).loss
    assert ours == pytest.approx(float(theirs), rel=1e-3)


def test_unknown_words_teach_nothing(t5):
    nlp = pipeline(t5, labels=["person", "city"])
    reference = Doc(nlp.vocab, ["Ann", "came"])
    reference.set_ents([], missing=[reference[0:2]])
    assert nlp.update([Example(Doc(nlp.vocab, ["Ann", "came"]), reference)], sgd=None)["gner_generator"] == 0.0


def test_a_decoder_on_a_pretrained_encoder(tmp_path):
    nlp = pipeline("", labels=["person", "city"])
    encoder = tiny.backbone("bert", tmp_path / "encoder")
    nlp.get_pipe("gner_generator").initialize(lambda: examples(nlp), nlp=nlp, encoder=encoder, layers=1)
    generator = nlp.get_pipe("gner_generator").model.shims[0].generator
    network = generator.network
    table = network.encoder.embeddings.word_embeddings.weight
    assert network.decoder.bert.embeddings.word_embeddings.weight is table
    assert network.decoder.cls.predictions.decoder.weight is table
    old, new = network.encoder.encoder.layer[-1], network.decoder.bert.encoder.layer[0]
    assert torch.equal(old.output.dense.weight, new.output.dense.weight)
    nlp.update(examples(nlp), sgd=LayerwiseAdam_v1(1e-2))
    found = [tiny.found(nlp(text)) for text in tiny.SENTENCES]
    nlp.to_disk(tmp_path / "saved")
    # The shared table is stored once.
    size = (tmp_path / "saved" / "gner_generator" / "model" / "model.safetensors").stat().st_size
    assert size < 4 * sum(p.numel() for p in network.parameters()) + 50_000
    loaded = spacy.load(tmp_path / "saved")
    assert [tiny.found(loaded(text)) for text in tiny.SENTENCES] == found
    again = loaded.get_pipe("gner_generator").model.shims[0].generator.network
    assert again.decoder.bert.embeddings.word_embeddings.weight is again.encoder.embeddings.word_embeddings.weight


def test_a_decoder_on_the_encoder_of_a_span_matcher(tiny_path):
    generator = warm_started(tiny_path, layers=1)
    layer = generator.network.decoder.bert.encoder.layer[0]
    assert torch.equal(layer.crossattention.self.query.weight, layer.attention.self.query.weight)
    matcher = gliner_checkpoint.load(tiny_path)
    given, taken = matcher.network.encoder.state_dict(), generator.network.encoder.state_dict()
    assert taken
    # Rows of new pieces are added.
    assert all(torch.equal(value[: len(given[name])], given[name]) for name, value in taken.items())
    assert len(generator.tokenizer) == len(matcher.tokenizer) + len(TAGS)


def test_tags_are_single_pieces(tiny_path):
    generator = warm_started(tiny_path, layers=1)
    tokenizer = generator.tokenizer
    assert generator.chunks.independent
    tags = ["O", "B-city", "I-city"]
    words = generator.chunks.encode_words(["paris", "(O)", "(", "f(O)"], tags, GNERPrompt_v1().chunk)
    for word, text in zip(words, ["paris", "(O)", "(", "f(O)"], strict=True):
        pieces = [tokenizer.convert_ids_to_tokens([*word.forced, *way]) for way in word.trie.sequences]
        assert pieces[0] == [*tokenizer.tokenize(text), "(O)"]
        assert pieces[1][-1] == ")"
        assert "(B-" in pieces[1]
        assert "(I-" in pieces[2]
    tag_ids = tokenizer.convert_tokens_to_ids(list(TAGS))
    letters = tokenizer.convert_tokens_to_ids([tokenizer.tokenize(letter)[0] for letter in "OBI"])
    table = generator.network.get_input_embeddings().weight
    assert torch.equal(table[tag_ids], table[letters])
    # A free answer reads the same.
    answer = tokenizer.decode(tokenizer("paris(B-city) is(O)")["input_ids"], skip_special_tokens=True)
    assert [word.tag[:2] for word in GNERPrompt_v1().parse(answer, ["city"])] == ["B-", "O"]


def test_a_model_keeps_the_instruction_it_is_trained_on(t5, tmp_path):
    nlp = pipeline(t5, labels=["person", "city"])
    nlp.initialize(lambda: examples(nlp))
    nlp.get_pipe("gner_generator").model.shims[0].write(tmp_path)
    for prompt, expected in (
        ({}, PROMPT["instruction"]),
        ({"instruction": "{labels}/{sentence}"}, "{labels}/{sentence}"),
    ):
        pipe = pipeline(tmp_path, prompt={"@misc": PROMPT["@misc"], **prompt}).get_pipe("gner_generator")
        fitting = pipe.prompt.with_defaults(pipe.model.shims[0].generator.prompt_defaults)
        assert fitting.render(["Hi"], ["a"]) == expected.format(labels="a", sentence="Hi")
    plain = pipeline(t5, prompt={"@misc": PROMPT["@misc"]}).get_pipe("gner_generator")
    assert plain.model.shims[0].generator.prompt_defaults.instruction is None
    assert plain.prompt.render(["Hi"], ["a"]) == INSTRUCTION.format(labels="a", sentence="Hi")


def test_random_weights_from_a_config(t5):
    nlp = pipeline("", labels=["person", "city"])
    config = {
        "model_type": "t5",
        "d_model": 16,
        "d_kv": 4,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    }
    nlp.get_pipe("gner_generator").initialize(lambda: examples(nlp), config=config, tokenizer=t5)
    assert nlp.update(examples(nlp))["gner_generator"] > 0
    with pytest.raises(SettingError, match="model_type"):
        pipeline("").get_pipe("gner_generator").initialize(list, config={"model_type": "magic"}, tokenizer=t5)


@pytest.mark.parametrize("kind", ["t5", "bert", "gpt2"])
def test_adapters_learn_and_become_part_of_the_weights(kind, tmp_path):
    source = tiny.saved_generator(kind, tmp_path / "model", layers=1)
    nlp = pipeline(source, labels=["person", "city"])
    pipe = nlp.get_pipe("gner_generator")
    pipe.initialize(lambda: examples(nlp), lora={"r": 4, "lora_alpha": 16})
    before = {name: value.clone() for name, value in pipe.model.shims[0].generator.network.named_parameters()}
    optimizer = LayerwiseAdam_v1(2e-2)
    losses = [nlp.update(examples(nlp), sgd=optimizer, drop=0.0)["gner_generator"] for _ in range(25)]
    assert losses[-1] < losses[0] / 2
    after = dict(pipe.model.shims[0].generator.network.named_parameters())
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    plain, given = loaded.get_pipe("gner_generator").model.shims[0].generator.network, generators.load(source).network
    assert [*plain.state_dict()] == [*given.state_dict()]
    assert not all(torch.equal(a, b) for a, b in zip(plain.parameters(), given.parameters(), strict=True))
    for text in tiny.SENTENCES:
        expected, found = tiny.found(nlp(text)), tiny.found(loaded(text))
        assert [x[:3] for x in found] == [x[:3] for x in expected]
        assert [x[3] for x in found] == pytest.approx([x[3] for x in expected], abs=1e-4)


def test_adapters_that_cannot_be(t5, monkeypatch):
    pipe = pipeline(t5, labels=["person"]).get_pipe("gner_generator")
    with pytest.raises(SettingError, match="rank_of_all_things"):
        pipe.initialize(list, lora={"rank_of_all_things": 4})
    with pytest.raises(SettingError, match="no_such_layer"):
        pipe.initialize(list, lora={"target_modules": ["no_such_layer"]})
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match="peft"):
        pipe.initialize(list, lora={"r": 4})


def test_initializing_again_adds_no_second_adapters(t5):
    pipe = pipeline(t5, labels=["person"]).get_pipe("gner_generator")
    for _ in range(2):
        pipe.initialize(list, lora={"r": 4})
        names = [name for name, _ in pipe.model.shims[0].generator.network.named_parameters()]
    assert sum("lora_A" in name for name in names) == sum(".base_layer.weight" in name for name in names) > 0
