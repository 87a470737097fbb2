"""The commands that ask a language model, against a real server: `annotate` and `explain`."""

import json
import signal

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_openner.cli.app import app
from spacy_openner.errors import SettingError
from spacy_openner.llm.annotation import AnnotationReport, annotate_docs, explain_docs
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.prompts.toner import ToNERPrompt_v1
from spacy_openner.training.corpus import OpenNERCorpus_v1
from tests.support.fake_chat_server import serve
from tests.support.forked_python import run_python
from tests.support.reassignment_case import GOLD, TEXTS

KEY = "sk-very-secret-0123456789"


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def names_all(asked):
    """A model that knows the entities of LAR's little world."""
    question = json.loads(asked)
    words = question["text"].replace("\n", " ").split()
    found = [{"entity": word, "type": GOLD[word]} for word in words if GOLD.get(word) in question["types"]]
    return json.dumps({"entities": found})


def says_why(asked):
    listed = json.loads(asked)["entities"]
    return json.dumps({"explanations": {i: f"{e['entity']} is a {e['type']}." for i, e in listed.items()}})


def docs_of(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def spans_of(doc):
    return [(span.text, span.label_) for span in doc.spans["openner"]]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([*TEXTS, "😀 Ada 北京"]), encoding="utf8")
    return path


@pytest.fixture
def gold(tmp_path):
    """Two annotated docs, of which the second has an explanation of one entity, and one without entities."""
    nlp = spacy.blank("en")
    docs = [nlp("Ada met Lee in Oslo"), nlp("Bob left Rome"), nlp("Rain fell")]
    for doc in docs:
        doc.spans["openner"] = [Span(doc, t.i, t.i + 1, label=GOLD[t.text]) for t in doc if t.text in GOLD]
    docs[1].spans["openner"].attrs["explanations"] = ["", "Rome is where he was."]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "gold.spacy")
    (tmp_path / "gold.labels.json").write_text(json.dumps(["politician", "musician", "city"]))
    return tmp_path / "gold.spacy"


def test_annotated_texts_can_be_trained_on(texts, tmp_path):
    target = tmp_path / "out" / "silver.spacy"
    with serve(answer=names_all) as server:
        args = ["annotate", texts, target, "--labels", "politician,musician,city", "--model", "tiny"]
        result = run(*args, "--base-url", server.url)
        assert result.exit_code == 0, result.output
        assert "6 of 6 texts annotated, 8 entities." in result.stdout
        n = len(server.requests)
        again = json.loads(run(*args, "--base-url", server.url, "--json").stdout)
        assert len(server.requests) == n
    assert (again["entities"], again["requests"]["requests"], again["requests"]["cache_hits"]) == (8, 0, 6)
    docs = docs_of(target)
    assert spans_of(docs[0]) == [("Ada", "politician"), ("Bob", "politician"), ("Oslo", "city")]
    assert spans_of(docs[-1]) == [("Ada", "politician")]
    assert [ent.label_ for ent in docs[0].ents] == ["politician", "politician", "city"]
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span")
    examples = list(OpenNERCorpus_v1({"silver": {"path": target}})(nlp))
    assert {tuple(eg.reference._.openner_labels) for eg in examples} == {("politician", "musician", "city")}


def test_a_share_of_the_texts_is_chosen_once_for_all(tmp_path):
    source = tmp_path / "many.txt"
    source.write_text("\n".join(f"Ada is number {i}" for i in range(50)))
    with serve(answer=names_all) as server:
        common = ["--labels", "politician", "--model", "tiny", "--base-url", server.url, "--share", "0.2"]
        found = []
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            assert run("annotate", source, tmp_path / f"{name}.spacy", *common, "--seed", seed).exit_code == 0
            found.append([doc.text for doc in docs_of(tmp_path / f"{name}.spacy")])
    assert [len(each) for each in found] == [10, 10, 10]
    assert found[0] == found[1] != found[2]


def test_docs_keep_their_words_and_lose_their_annotation(tmp_path):
    nlp = spacy.blank("en")
    doc = Doc(nlp.vocab, ["Ada", "met", "O'Neil-Smith", "in", "New", "York", "."])
    doc.ents = [Span(doc, 1, 2, label="wrong")]
    doc._.openner_labels = ["wrong"]
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "in.spacy")
    said = [("new  york", "CITY"), ("O'Neil-Smith", "person"), ("Paris", "city"), ("Ada", "river"), ("", "city")]
    value = json.dumps({"entities": [{"entity": text, "type": label} for text, label in said]})
    with serve(answer=lambda _: value) as server:
        args = ["--labels", "person,city", "--model", "tiny", "--base-url", server.url, "--json"]
        outcome = json.loads(run("annotate", tmp_path / "in.spacy", tmp_path / "out.spacy", *args).stdout)
    assert outcome["dropped"] == {"of another type": 1, "not in the text": 2}
    (out,) = docs_of(tmp_path / "out.spacy")
    assert [token.text for token in out] == [token.text for token in doc]
    assert [(ent.text, ent.label_) for ent in out.ents] == [("O'Neil-Smith", "person"), ("New York", "city")]
    # Paris has no place: where else there are entities is not known.
    assert "openner" not in out.spans
    assert [token.ent_iob_ for token in out] == ["", "", "B", "", "B", "I", ""]
    assert out._.openner_labels is None


@pytest.mark.parametrize("value", ["[1]", '{"entities": {}}', '{"entities": ["Ada"]}', '{"entities": [{"entity": 1}]}'])
def test_answers_of_another_form_annotate_nothing(texts, tmp_path, value):
    """Such a text is left out: it is not one without entities."""
    with serve(answer=lambda asked: value if "Zoe" in asked else names_all(asked)) as server:
        more = ["--base-url", server.url, "--client", '{"max_retries": 0}', "--json"]
        result = run("annotate", texts, tmp_path / "t.spacy", "--labels", "city", "--model", "tiny", *more)
    outcome = json.loads(result.stdout)
    assert (outcome["texts"], outcome["done"], outcome["failures"]) == (6, 5, {"malformed": 1})
    assert "Zoe" not in [doc.text for doc in docs_of(tmp_path / "t.spacy")]


def test_explanations_are_written_beside_the_spans(gold, tmp_path):
    target = tmp_path / "explained.spacy"
    with serve(answer=says_why) as server:
        result = run("explain", gold, target, "--model", "tiny", "--base-url", server.url)
        assert result.exit_code == 0, result.output
        assert "2 of 2 texts explained, 4 entities." in result.stdout
        assert len(server.requests) == 2
        # What is explained is not asked for again, whatever the cache.
        once_more = run(
            "explain", target, tmp_path / "b.spacy", "--model", "tiny", "--base-url", server.url, "--cache", tmp_path
        )
        assert once_more.exit_code == 0
        assert len(server.requests) == 2
    first, second, third = docs_of(target)
    assert first.spans["openner"].attrs["explanations"] == [
        "Ada is a politician.",
        "Lee is a musician.",
        "Oslo is a city.",
    ]
    assert second.spans["openner"].attrs["explanations"] == ["Bob is a politician.", "Rome is where he was."]
    assert spans_of(third) == []
    assert json.loads((tmp_path / "explained.labels.json").read_text()) == ["politician", "musician", "city"]


def test_explanations_are_bounded_by_a_sentence():
    nlp = spacy.blank("en")
    doc = nlp("Ada met Lee in Oslo")
    doc.spans["openner"] = [Span(doc, 0, 1, label="person"), Span(doc, 2, 5, label="person")]
    with serve(answer=says_why) as server:
        list(explain_docs([doc], LLMClient_v1("tiny", base_url=server.url)))
        (body,) = server.requests
    parts = body["response_format"]["json_schema"]["schema"]["properties"]["explanations"]["properties"]
    assert [parts[n]["maxLength"] for n in "12"] == [300 + len("Ada"), 300 + len("Lee in Oslo")]
    assert body["max_tokens"] == 256 + 2 * 100


def test_what_is_explained_can_be_learnt(gold, tmp_path, t5):
    """A generator is shown the explanations in its targets."""
    with serve(answer=says_why) as server:
        run("explain", gold, tmp_path / "e.spacy", "--model", "tiny", "--base-url", server.url)
    nlp = spacy.blank("en")
    prompt = {"@misc": "spacy-openner.ToNERPrompt.v1", "explain": True}
    config = {"model": {"name": str(t5)}, "prompt": prompt, "decoding": "free", "loss": "answer"}
    pipe = nlp.add_pipe("gner_generator", config={**config, "labels": ["politician", "musician", "city"]})
    doc = docs_of(tmp_path / "e.spacy")[0]
    (lesson,) = pipe._training_texts([Example(nlp.make_doc(doc.text), doc)])
    assert sorted(lesson.explanations.values()) == ["Ada is a politician.", "Lee is a musician.", "Oslo is a city."]
    said = ToNERPrompt_v1(explain=True).parse_explanations(
        "Entity: []\nExplanation: Ada is a politician. Oslo is a city.", ["Ada", "Oslo"]
    )
    assert said == ["Ada is a politician.", "Oslo is a city."]


def test_an_explanation_names_its_entity(tmp_path, gold):
    answer = '{"explanations": {"1": "Because of\\nthe verb.", "2": "", "3": 7}}'
    with serve(answer=lambda _: answer) as server:
        more = ["--base-url", server.url, "--client", '{"structured": "plain"}', "--json"]
        outcome = json.loads(run("explain", gold, tmp_path / "e.spacy", "--model", "tiny", *more).stdout)
    assert (outcome["done"], outcome["dropped"]) == (1, {"without an explanation": 2})
    first = docs_of(tmp_path / "e.spacy")[0]
    assert first.spans["openner"].attrs["explanations"] == ["Ada (politician): Because of the verb.", "", ""]


@pytest.mark.parametrize("command", ["annotate", "explain"])
def test_an_interrupted_run_goes_on(command, gold, tmp_path):
    answer = names_all if command == "annotate" else says_why
    labels = ["--labels", "city"] if command == "annotate" else []
    args = [command, gold, tmp_path / "t.spacy", *labels, "--model", "tiny", "--json"]
    with serve(answer=answer) as server:
        first = run(*args, "--base-url", server.url, "--max-requests", 1, "--client", '{"concurrency": 1}')
        assert "W502" in first.stderr
        outcome = json.loads(first.stdout)
        assert outcome["done"] == 1
        assert set(outcome["failures"]) == {"budget"}
        rest = json.loads(run(*args, "--base-url", server.url).stdout)
        assert rest["done"] == rest["texts"]
        assert not rest["failures"]
        assert len(server.requests) == rest["texts"]


@pytest.mark.parametrize("command", ["annotate", "explain"])
def test_a_dead_server_is_an_error(command, gold, tmp_path):
    labels = ["--labels", "city"] if command == "annotate" else []
    more = ["--base-url", "http://127.0.0.1:9/v1", "--client", '{"max_retries": 0}']
    result = run(command, gold, tmp_path / "t.spacy", *labels, "--model", "tiny", *more)
    assert result.exit_code == 1
    assert "O511" in result.output
    assert "connection" in result.output
    # Nothing is annotated, so there is nothing to train on; nothing that was there is lost.
    assert (tmp_path / "t.spacy").exists() == (command == "explain")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--client", "[]"], "O001"),
        (["--client", "{"], "O001"),
        (["--client", '{"model": "b"}'], "O001"),
        (["--client", f'{{"parameters": {{"api_key": "{KEY}"}}}}'], "O507"),
        (["--client", '{"concurrency": 0}'], "O001"),
    ],
)
def test_settings_that_are_refused(more, code, gold, tmp_path):
    result = run("explain", gold, tmp_path / "t.spacy", "--model", "tiny", *more)
    assert result.exit_code == 1
    assert code in result.output
    assert KEY not in result.output or code == "O001"
    assert not (tmp_path / "t.spacy").exists()


def test_targets_and_sources_that_are_refused(gold, texts, tmp_path):
    common = ["--model", "tiny", "--base-url", "http://127.0.0.1:9/v1"]
    assert "O001" in run("explain", gold, tmp_path / "t.json", *common).output
    assert "O403" in run("explain", texts, tmp_path / "t.spacy", *common).output
    assert "no labels" in run("annotate", gold, tmp_path / "t.spacy", *common).output
    with serve(answer=says_why) as server:
        result = run(
            "explain", gold, gold / "t.spacy", "--model", "tiny", "--base-url", server.url, "--cache", tmp_path
        )
    assert "O407" in result.output


def annotate(text, said, *more):
    """What is annotated when a model lists pairs of an entity and a type; and what was counted."""
    nlp = spacy.blank("en")
    value = {"entities": [{"entity": name, "type": label} for name, label in said]}
    with serve(answer=lambda _: json.dumps(value)) as server:
        client, report = LLMClient_v1("tiny", base_url=server.url), AnnotationReport()
        options = {"report": report, **dict(more)}
        docs = list(annotate_docs(nlp, [nlp(text)], ["person", "city"], client, **options))
        client.close()
    return docs, report, server.requests


def test_longer_and_nested_mentions_find_their_places():
    said = [("Paris", "city"), ("Paris", "city"), ("Paris Hilton", "person")]
    (doc,), report, _ = annotate("Paris Hilton was in Paris. Paris is big.", said)
    assert [(s.start, s.end, s.label_) for s in doc.spans["openner"]] == [
        (0, 2, "person"),
        (4, 5, "city"),
        (6, 7, "city"),
    ]
    assert report.as_dict()["dropped"] == {}
    (doc,), *_ = annotate("Paris Hilton slept.", [("Paris", "city"), ("Paris Hilton", "person")])
    assert [(s.text, s.label_) for s in doc.spans["openner"]] == [("Paris", "city"), ("Paris Hilton", "person")]
    assert [(s.text, s.label_) for s in doc.ents] == [("Paris Hilton", "person")]


def test_no_entity_crosses_a_boundary():
    """What a model names across one is not annotated, and its words are not known to be no entity."""
    text = "- Ada Lee\n- Bob Ray\n\nOslo"
    said = [("Ada Lee", "person"), ("Ray Oslo", "person"), ("Oslo", "city"), ("Bob", "person")]
    (doc,), report, _ = annotate(text, said)
    assert [ent.text for ent in doc.ents] == ["Ada Lee", "Bob", "Oslo"]
    assert report.as_dict()["dropped"] == {"across a boundary": 1}
    assert "openner" not in doc.spans
    assert next(token for token in doc if token.text == "Ray").ent_iob_ == ""
    said = [("Ray Oslo", "person"), ("Lee", "person"), ("Lee\n- Bob", "person")]
    (doc,), report, _ = annotate(text, said)
    assert [ent.text for ent in doc.ents] == ["Lee"]
    (doc,), report, _ = annotate(text, said, ("boundaries", []))
    assert sorted(ent.text for ent in doc.spans["openner"]) == ["Lee", "Lee\n- Bob", "Ray\n\nOslo"]
    assert report.as_dict()["dropped"] == {}
    with pytest.raises(SettingError, match=r"O001.*boundaries"):
        annotate(text, said, ("boundaries", ["line"]))


def test_the_command_takes_boundaries(tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("Ada\tLee\n")
    said = json.dumps({"entities": [{"entity": "Ada Lee", "type": "person"}]})
    found = {}
    with serve(answer=lambda _: said) as server:
        common = ["--labels", "person", "--model", "tiny", "--base-url", server.url]
        for boundaries in ("paragraphs, cells", ""):
            target = tmp_path / f"{len(boundaries)}.spacy"
            run("annotate", source, target, *common, "--boundaries", boundaries)
            found[boundaries] = [ent.text for doc in docs_of(target) for ent in doc.ents]
        assert found == {"paragraphs, cells": [], "": ["Ada\tLee"]}
        assert "O001" in run("annotate", source, tmp_path / "o.spacy", *common, "--boundaries", "line").output


def test_all_mentions_of_a_name_where_that_is_asked_for():
    text, said = "Ada met Bob. Ada left. Bob met Ada.", [("Ada", "person"), ("Bob", "person"), ("Bob", "city")]
    (doc,), *_ = annotate(text, said)
    assert [s.text for s in doc.spans["openner"]] == ["Ada", "Bob", "Bob"]
    (doc,), *_ = annotate(text, said, ("all_mentions", True))
    assert [s.text for s in doc.spans["openner"]] == ["Ada", "Bob", "Ada", "Bob", "Ada"]


def test_good_items_are_kept_beside_odd_ones():
    (doc,), report, _ = annotate("Ada met Lee in Oslo", [("Ada", "person"), ("Lee", None), ("Oslo", "city")])
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada", "person"), ("Oslo", "city")]
    assert report.as_dict()["dropped"] == {"no entity": 1}
    assert "openner" not in doc.spans
    assert doc[2].ent_iob_ == "", "Lee is not known to be no entity"
    docs, report, _ = annotate("Ada met Lee", [("Ada", None)])
    assert (docs, dict(report.failures)) == ([], {"malformed": 1})


def test_answers_are_bounded_by_the_text():
    _, _, (body,) = annotate("Ada met Lee in Oslo", [])
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["entities"]["maxItems"] == 5
    assert schema["properties"]["entities"]["items"]["properties"]["entity"]["maxLength"] == len("Ada met Lee in Oslo")
    assert body["max_tokens"] == 256 + 5 * 20
    _, report, _ = annotate("Ada met Lee", [("Ada", "person")] * 1000)
    assert report.dropped["too many"] == 988


@pytest.mark.parametrize("command", ["annotate", "explain"])
def test_texts_without_an_answer_are_an_exit_code(command, gold, tmp_path):
    known = names_all if command == "annotate" else says_why
    labels = ["--labels", "city"] if command == "annotate" else []
    with serve(answer=lambda asked: known(asked) if "Rome" in asked else "no") as server:
        more = ["--model", "tiny", "--base-url", server.url, "--client", '{"max_retries": 0}']
        result = run(command, gold, tmp_path / "t.spacy", *labels, *more)
    assert result.exit_code == 1
    assert "malformed" in result.stdout
    assert "W520" in result.stderr
    assert (tmp_path / "t.spacy").exists()


@pytest.mark.parametrize("command", ["annotate", "explain"])
def test_a_target_that_is_the_source_is_refused(command, gold):
    before = gold.read_bytes()
    labels = ["--labels", "city"] if command == "annotate" else []
    result = run(command, gold, gold, *labels, "--model", "tiny", "--base-url", "http://127.0.0.1:9/v1")
    assert result.exit_code == 1
    assert "O409" in result.stderr
    assert gold.read_bytes() == before


KILLED = """
import os, signal, sys
from spacy.tokens import DocBin
from spacy_openner.cli.app import main
whole = DocBin.to_disk
def to_disk(self, path):
    whole(self, path)
    with open(path, "r+b") as stream:
        stream.truncate(10)
    os.kill(os.getpid(), signal.SIGKILL)
DocBin.to_disk = to_disk
main()
"""


@pytest.mark.parametrize("command", ["annotate", "explain", "convert"])
def test_a_killed_command_leaves_the_old_target(command, gold, tmp_path):
    target = tmp_path / "t.spacy"
    target.write_bytes(b"the old one")
    answer = names_all if command == "annotate" else says_why
    with serve(answer=answer) as server:
        client = ["--model", "tiny", "--base-url", server.url] if command != "convert" else ["--source-key", "openner"]
        labels = ["--labels", "city"] if command == "annotate" else []
        killed = run_python(["-c", KILLED, command, gold, target, *labels, *client])
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert target.read_bytes() == b"the old one"
        assert run(command, gold, target, *labels, *client).exit_code == 0
    assert docs_of(target)
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")]
