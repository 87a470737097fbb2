"""The component: real pipelines around tiny random generators."""

import itertools
import multiprocessing
import sys
import warnings

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_openner.errors import CheckpointError, MissingExtra, OpenNerWarning, SettingError
from spacy_openner.models import generator as generators
from spacy_openner.prompts.gner import spans_of
from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests import tiny

LABELS = ["person", "award", "city, town (populated place)"]
PROMPT = {
    "@misc": "spacy-openner.GNERPrompt.v1",
    "instruction": "Use the specific entity tags: {labels} and O. Sentence: {sentence}",
}


@pytest.fixture(scope="module", params=["t5", "llama"])
def path(request, tmp_path_factory):
    return tiny.saved_generator(request.param, tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return tiny.saved_generator("t5", tmp_path_factory.mktemp("t5") / "model")


def pipeline(path, *, before=(), **settings):
    nlp = spacy.blank("en")
    for name in before:
        nlp.add_pipe(name)
    config = {"model": {"name": str(path)}, "labels": LABELS, "prompt": PROMPT, **settings}
    nlp.add_pipe("gner_generator", config=config)
    return nlp


def test_writes_spans_entities_and_scores(path):
    nlp = pipeline(path)
    docs = list(nlp.pipe(tiny.SENTENCES))
    assert any(doc.ents for doc in docs)
    for doc in docs:
        group = doc.spans["openner"]
        assert len(group.attrs["scores"]) == len(group)
        assert all(0 < score <= 1 for score in group.attrs["scores"])
        assert {span.label_ for span in group} <= set(LABELS)
        assert [(e.start, e.end, e.label_) for e in doc.ents] == [(s.start, s.end, s.label_) for s in group]
    alone = [tiny.found(nlp(text)) for text in tiny.SENTENCES]
    together = [tiny.found(doc) for doc in docs]
    for a, b in zip(alone, together, strict=True):
        assert [x[:3] for x in a] == [x[:3] for x in b]
        assert np.allclose([x[3] for x in a], [x[3] for x in b], atol=1e-4)


def test_nothing_to_read_or_to_ask(path):
    nlp = pipeline(path)
    assert not nlp("").ents
    assert not nlp("  \n ").ents
    assert len(nlp("Hi").spans["openner"]) <= 1
    nlp.get_pipe("gner_generator").labels = []
    with pytest.warns(OpenNerWarning, match="W001"):
        assert not nlp("Marie Curie").ents


def test_per_doc_labels_and_other_names(path):
    nlp = pipeline(path)
    doc = nlp.make_doc(tiny.SENTENCES[0])
    doc._.openner_labels = ["song"]
    assert {span.label_ for span in nlp(doc).spans["openner"]} <= {"song"}


def test_thresholds(path):
    nlp = pipeline(path)
    pipe = nlp.get_pipe("gner_generator")
    scores = [x[3] for text in tiny.SENTENCES for x in tiny.found(nlp(text))]
    pipe.threshold = float(np.median(scores))
    kept = [x[3] for text in tiny.SENTENCES for x in tiny.found(nlp(text))]
    assert 0 < len(kept) < len(scores)
    assert min(kept) > pipe.threshold


def test_long_texts_are_read_to_the_end(path):
    nlp = pipeline(path)
    text = tiny.long_text(1500)
    doc = nlp(text)
    starts = [span.start for span in doc.spans["openner"]]
    assert starts == sorted(starts)
    assert any(start > len(doc) - 100 for start in starts)
    assert any(start < 100 for start in starts)
    spans = [(s.start, s.end) for s in doc.spans["openner"]]
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("word", ["😀", "((O)", "(B-person)", "北京大学", "ⵜⴰⵎⴰⵣⵉⵖⵜ", "\u200b", "a\u00a0b", "x" * 3000])
def test_odd_words_keep_their_places(path, word):
    nlp = pipeline(path)
    words = ["Marie", word, "Curie", word, "won"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OpenNerWarning)
        doc = nlp(Doc(nlp.vocab, words))
    assert [token.text for token in doc] == words
    assert all(0 <= span.start < span.end <= 5 for span in doc.spans["openner"])


def test_a_word_that_would_fill_the_window_is_said(t5):
    with pytest.warns(OpenNerWarning, match="W011"):
        pipeline(t5)("a " + "x" * 3000)


def test_many_types_are_split_over_prompts(t5):
    nlp = pipeline(t5, max_types=2)
    pipe = nlp.get_pipe("gner_generator")
    pipe.labels = [f"type {letter}" for letter in "abcdefg"]
    nlp(tiny.SENTENCES[0])
    assert pipe.tally.texts == 4
    pipe.max_types = None
    pipe.labels = [f"kind of thing {a}{b}" for a in "abcdefghijklm" for b in "abcdefghijkl"]
    doc = nlp(tiny.SENTENCES[0])
    assert pipe.tally.texts > 5
    spans = [(s.start, s.end) for s in doc.spans["openner"]]
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_a_type_too_long_for_any_prompt(t5):
    nlp = pipeline(t5)
    nlp.get_pipe("gner_generator").labels = ["very " * 500 + "long"]
    with pytest.raises(SettingError, match="O006"):
        nlp("Marie Curie")


@pytest.mark.parametrize("source", ["ents", "guesses"])
def test_drafts_change_the_cost_and_not_the_result(t5, source):
    plain, drafting = pipeline(t5), pipeline(t5, draft_from=source, overwrite_ents=True)
    for text in tiny.SENTENCES[:3]:
        found = plain(text)
        doc = drafting.make_doc(text)
        spans = [Span(doc, s.start, s.end, label=s.label_) for s in found.spans["openner"]]
        if source == "ents":
            doc.ents = spans
        else:
            doc.spans["guesses"] = spans
        assert [x[:3] for x in tiny.found(drafting(doc))] == [x[:3] for x in tiny.found(found)]
    cost = [nlp.get_pipe("gner_generator").tally.passes for nlp in (plain, drafting)]
    assert cost[1] == 3 < cost[0]


def test_entities_of_rules_are_kept(t5):
    nlp = pipeline(t5, before=["entity_ruler"])
    nlp.get_pipe("entity_ruler").add_patterns([{"label": "RULE", "pattern": "Marie Curie"}])
    assert ("Marie Curie", "RULE") in [(e.text, e.label_) for e in nlp(tiny.SENTENCES[0]).ents]


def test_free_decoding_matches_what_was_said(path):
    nlp = pipeline(path, decoding="free")
    docs = list(nlp.pipe(tiny.SENTENCES[:3]))
    pipe = nlp.get_pipe("gner_generator")
    # A random model repeats nothing: all words are left out, and that is counted.
    assert pipe.tally.slips.omitted > 0
    assert all(len(doc.spans["openner"].attrs["scores"]) == len(doc.spans["openner"]) for doc in docs)


def begins(answer, pieces):
    return len(answer) > len(pieces) and list(answer[: len(pieces)]) == pieces


def test_beams_are_those_of_generate_among_all_answers_written_out(t5):
    """The reference knows no trie: it lists every legal answer and lets `generate` choose among their beginnings."""
    nlp = pipeline(t5, labels=["person", "award"], num_beams=3)
    pipe = nlp.get_pipe("gner_generator")
    generator = pipe.model.shims[0].generator
    for words in (["Marie", "Curie", "won"], ["Hi", "Paris"], ["the", "Nobel", "Prize"]):
        legal = {}
        for tags in itertools.product(pipe.prompt.tags(pipe.labels), repeat=len(words)):
            if all(t[:2] != "I-" or before[2:] == t[2:] for before, t in itertools.pairwise(["O", *tags])):
                answer = generator.tokenizer(pipe.prompt.answer(words, tags), add_special_tokens=False)["input_ids"]
                legal[(*answer, generator.end)] = tags
        ids, mask = generator.read([pipe.prompt.render(words, pipe.labels)])
        (said,) = generator.network.generate(
            input_ids=ids,
            attention_mask=mask,
            num_beams=3,
            do_sample=False,
            max_new_tokens=max(map(len, legal)),
            prefix_allowed_tokens_fn=lambda _, before, legal=legal: (
                sorted({a[len(before) - 1] for a in legal if begins(a, before[1:].tolist())}) or [0]
            ),
        )
        said = said[1:].tolist()
        expected = spans_of(legal[tuple(said[: said.index(generator.end) + 1])])
        doc = nlp(Doc(nlp.vocab, words))
        assert [x[:3] for x in tiny.found(doc)] == expected


@pytest.mark.parametrize("settings", [{"decoding": "magic"}, {"num_beams": 0}, {"max_types": 0}, {"threshold": 2}])
def test_settings_are_checked(t5, settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        pipeline(t5, **settings)


def test_missing_and_damaged_models_are_named(tmp_path, t5):
    with pytest.raises(CheckpointError, match=r"O114.*Name one"):
        pipeline("")("Hi")
    with pytest.raises(CheckpointError, match="O113"):
        pipeline(tmp_path / "nowhere")("Hi")
    with pytest.raises(CheckpointError, match=r"O113.*config\.json"):
        pipeline(tmp_path)("Hi")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in t5.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(CheckpointError, match="O113"):
        pipeline(broken)("Hi")


def test_saved_and_loaded_it_says_the_same(path, tmp_path):
    nlp = pipeline(path)
    nlp.get_pipe("gner_generator").threshold = 0.001
    expected = [tiny.found(nlp(text)) for text in tiny.SENTENCES]
    nlp.to_disk(tmp_path / "saved")
    assert list((tmp_path / "saved" / "gner_generator" / "model").glob("*.safetensors"))
    assert not list((tmp_path / "saved" / "gner_generator").rglob("*.bin"))
    loaded = spacy.load(tmp_path / "saved")
    assert loaded.get_pipe("gner_generator").threshold == 0.001
    assert [tiny.found(loaded(text)) for text in tiny.SENTENCES] == expected
    again = pipeline(tmp_path)
    again.get_pipe("gner_generator").from_bytes(nlp.get_pipe("gner_generator").to_bytes())
    assert [tiny.found(again(text)) for text in tiny.SENTENCES] == expected


@pytest.mark.timeout(120)
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_two_processes(t5, method, monkeypatch):
    """Also after the parent has predicted with several threads, whose pools a fork leaves behind dead."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    nlp = pipeline(t5)
    expected = [tiny.found(doc) for doc in nlp.pipe(tiny.SENTENCES)]
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context(method))
    found = [tiny.found(doc) for doc in nlp.pipe(tiny.SENTENCES, n_process=2, batch_size=3)]
    torch.set_num_threads(threads)
    assert [[x[:3] for x in each] for each in found] == [[x[:3] for x in each] for each in expected]


def test_a_tokenizer_whose_chunks_hang_together_takes_the_reference_path(t5, monkeypatch):
    nlp = pipeline(t5)
    expected = [[x[:3] for x in tiny.found(nlp(text))] for text in tiny.SENTENCES[:2]]
    generator = nlp.get_pipe("gner_generator").model.shims[0].generator
    monkeypatch.setattr(generator.chunks, "independent", False)
    passes = nlp.get_pipe("gner_generator").tally.passes
    assert [[x[:3] for x in tiny.found(nlp(text))] for text in tiny.SENTENCES[:2]] == expected
    assert nlp.get_pipe("gner_generator").tally.passes == passes


TRAIN = [
    ("Ann Bell lives in Oslo", [(0, 2, "person"), (4, 5, "city")]),
    ("She met Carl in Rome", [(2, 3, "person"), (4, 5, "city")]),
    ("Oslo and Rome are far", [(0, 1, "city"), (2, 3, "city")]),
    ("Nobody came", []),
]


def examples(nlp):
    found = []
    for text, spans in TRAIN:
        reference = Doc(nlp.vocab, text.split())
        reference.ents = [Span(reference, start, end, label=label) for start, end, label in spans]
        reference._.openner_labels = ["person", "city"]
        found.append(Example(Doc(nlp.vocab, text.split()), reference))
    return found


@pytest.mark.parametrize("kind", ["t5", "bert", "llama", "bart"])
def test_overfitting_IO(kind, tmp_path):
    nlp = pipeline(tiny.saved_generator(kind, tmp_path / "model"), labels=["person", "city"])
    nlp.initialize(lambda: examples(nlp))
    optimizer = LayerwiseAdam_v1(3e-3)
    for _ in range(300):
        losses = nlp.update(examples(nlp), sgd=optimizer, drop=0.0)
        if losses["gner_generator"] < 0.003:
            break
    expected = [[(start, end, label) for start, end, label in spans] for _, spans in TRAIN]
    docs = [eg.predicted for eg in examples(nlp)]
    assert [[x[:3] for x in tiny.found(nlp(doc))] for doc in docs] == expected
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    docs = [eg.predicted for eg in examples(loaded)]
    assert [[x[:3] for x in tiny.found(loaded(doc))] for doc in docs] == expected
    assert min(x[3] for doc in docs for x in tiny.found(doc)) > 0.9


@pytest.mark.parametrize("prompt", [{"target": "bioes"}, {"target": "context", "context": 1}])
def test_every_target_can_be_learnt(prompt, t5):
    nlp = pipeline(t5, labels=["person", "city"], decoding="free", loss="answer", prompt={**PROMPT, **prompt})
    optimizer = LayerwiseAdam_v1(3e-3)
    for _ in range(800):
        losses = nlp.update(examples(nlp)[:2], sgd=optimizer, drop=0.0)
        if losses["gner_generator"] < 0.01:
            break
    docs = [nlp(eg.predicted) for eg in examples(nlp)[:2]]
    expected = [[(start, end, label) for start, end, label in spans] for _, spans in TRAIN[:2]]
    assert [[x[:3] for x in tiny.found(doc)] for doc in docs] == expected


def test_the_loss_is_the_one_of_transformers(t5):
    """The loss "answer" beside the labels argument of the model itself, one text, no dropout."""
    nlp = pipeline(t5, labels=["person", "city"], loss="answer")
    pipe = nlp.get_pipe("gner_generator")
    pipe.sampler = lambda present, universe: {"person": "person", "city": "city"}
    eg = examples(nlp)[0]
    ours = nlp.update([eg], sgd=False, drop=0.0)["gner_generator"]
    generator = pipe.model.shims[0].generator
    words = [token.text for token in eg.predicted]
    ids, mask = generator.read([pipe.prompt.render(words, ["person", "city"])])
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


def test_constrained_decoding_needs_answers_that_tag_every_word(t5):
    with pytest.raises(SettingError, match="O014"):
        pipeline(t5, prompt={**PROMPT, "target": "entities"})


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
    source = tiny.saved_generator(kind, tmp_path / "model")
    nlp = pipeline(source, labels=["person", "city"])
    pipe = nlp.get_pipe("gner_generator")
    pipe.initialize(lambda: examples(nlp), lora={"r": 4, "lora_alpha": 16})
    before = {name: value.clone() for name, value in pipe.model.shims[0].generator.network.named_parameters()}
    optimizer = LayerwiseAdam_v1(1e-2)
    losses = [nlp.update(examples(nlp), sgd=optimizer, drop=0.0)["gner_generator"] for _ in range(60)]
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
