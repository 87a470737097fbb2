"""The backend of Label Studio: its interfaces and tasks, offsets in code points."""

import pytest

from spacy_openner.serve.app import create_app
from spacy_openner.serve.label_studio import read_label_config
from tests.support.http_calls import TEXT, get, post, run

CONFIG = """
<View>
  <Choices name="mood" toName="text"><Choice value="good"/></Choices>
  <Labels name="label" toName="text">
    <Label value="person" background="red"/>
    <Label value="place" hint="a city, a country, a region"/>
  </Labels>
  <Text name="text" value="$body"/>
</View>
"""


def ask(nlp, tasks, config=CONFIG):
    # Label Studio sends more than is needed, a password among it.
    body = {"tasks": tasks, "label_config": config, "project": "1.2", "params": {"login": "a", "password": "b"}}
    (response,) = run(create_app(nlp), post(body, "/predict"))
    return response


def test_tasks_are_annotated(nlp):
    text = f"\N{PILE OF POO}\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN} {TEXT}"
    response = ask(nlp, [{"id": 7, "data": {"body": text}}, {"id": 8, "data": {"body": ""}}])
    assert response.status_code == 200
    first, second = response.json()["results"]
    assert second == {"model_version": first["model_version"], "result": [], "score": None}
    assert first["model_version"] == response.json()["model_version"]
    person, place = first["result"]
    assert {person["from_name"], place["from_name"]} == {"label"}
    assert {person["to_name"], place["to_name"]} == {"text"}
    assert {person["type"], place["type"]} == {"labels"}
    assert person["id"] != place["id"]
    assert [person["value"]["labels"], place["value"]["labels"]] == [["person"], ["place"]]
    # Code points, as Python counts: the first two characters of the text are two code units each.
    assert person["value"]["start"] == text.index("Marie") == 5
    for value in (person["value"], place["value"]):
        assert text[value["start"] : value["end"]] == value["text"]
    assert first["score"] == min(person["score"], place["score"])


def test_types_and_descriptions_are_those_of_the_interface():
    found = read_label_config(CONFIG)
    assert found[:3] == ("label", "text", "body")
    assert dict(found.labels) == {"person": "person", "place": "a city, a country, a region"}
    plain = read_label_config(CONFIG.replace("hint", "title"))
    assert list(plain.labels) == ["person", "place"]


@pytest.mark.parametrize(
    "config",
    [
        "",
        "no XML",
        "<View/>",
        CONFIG.replace('toName="text"', 'toName="other"'),
        CONFIG.replace("$body", ""),
        CONFIG.replace("<Text", '<Text valueType="url"'),
        CONFIG.replace("<Label ", "<Other "),
        '<!DOCTYPE a [<!ENTITY b "c">]>' + CONFIG,
        CONFIG.replace("person", " "),
    ],
)
def test_interfaces_that_are_refused(nlp, config):
    response = ask(nlp, [{"id": 1, "data": {"body": TEXT}}], config)
    assert response.status_code == 422
    assert response.json()["detail"]


@pytest.mark.parametrize("task", [{"id": 1}, {"id": 1, "data": {}}, {"id": 1, "data": {"body": None}}, {"data": 1}])
def test_tasks_that_are_refused(nlp, task):
    assert ask(nlp, [task]).status_code == 422


def test_setup_and_health(nlp):
    good, empty, bad, health = run(
        create_app(nlp),
        post({"project": "1.2", "schema": CONFIG, "access_token": "secret"}, "/setup"),
        post({"project": "1.2"}, "/setup"),
        post({"project": "1.2", "schema": "<View/>"}, "/setup"),
        get("/health"),
    )
    assert [each.status_code for each in (good, empty, bad, health)] == [200, 200, 422, 200]
    assert good.json()["model_version"].startswith("spacy-openner ")
    assert health.json() == {"status": "UP", "model_class": "OpenNERSpan"}
