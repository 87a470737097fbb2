"""API keys stay where they belong."""

import base64
import html
import json
import sqlite3
import warnings
from urllib.parse import quote, quote_plus

import pytest

from spacy_openner.errors import SettingError
from spacy_openner.llm.cache import FILE
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.llm.keys import Redactor, check_variable_name, read_key
from spacy_openner.llm.types import Failure, LLMRequest, LLMResponse
from tests.support.fake_chat_server import serve

KEY = "sk-very+secret/0123456789&<end>="
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
REQUEST = LLMRequest((("user", "a"),), SCHEMA)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENNER_TEST_KEY", KEY)


@pytest.mark.parametrize("around", ["{}\n", "\t{}", " {}\r\n"])
def test_blanks_around_a_key_are_left_out(monkeypatch, around):
    monkeypatch.setenv("OPENNER_TEST_KEY", around.format(KEY))
    assert read_key("OPENNER_TEST_KEY") == KEY
    with serve(answer=lambda _: '{"said": "a"}', key=KEY) as server:
        asked = LLMClient_v1("tiny", base_url=server.url, api_key_env="OPENNER_TEST_KEY")
        assert isinstance(asked.ask([REQUEST])[0], LLMResponse)
        asked.close()


@pytest.mark.parametrize(
    "inside", ["sk-secret\x01value", "sk-secret\nvalue", "sk-secret\u00e4value", "sk-secret value"]
)
def test_keys_that_no_header_can_hold_are_refused_and_not_repeated(monkeypatch, inside):
    monkeypatch.setenv("OPENNER_TEST_KEY", inside)
    with pytest.raises(SettingError, match=r"O521.*OPENNER_TEST_KEY") as caught:
        LLMClient_v1("tiny", base_url="http://localhost:9/v1", api_key_env="OPENNER_TEST_KEY").ask([REQUEST])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["sk-proj-0123456789", "gsk_abcDEF0123456789xyz", "a b", "A=B", "1A"])
def test_keys_in_place_of_names_of_variables_are_refused_and_not_repeated(name):
    with pytest.raises(SettingError, match="O520") as caught:
        LLMClient_v1("tiny", api_key_env=name)
    assert name not in str(caught.value)


@pytest.mark.parametrize("name", ["", "OPENAI_API_KEY", "_KEY2", "my_key", "AZURE_OPENAI_KEY_2024_WEST"])
def test_names_of_variables(name):
    check_variable_name(name)


def written(way):
    """The key as a server may repeat it."""
    user = base64.b64encode(f"user:{KEY}".encode()).decode()
    ways = {
        "plain": KEY,
        "url": quote(KEY),
        "url, slashes too": quote(KEY, safe=""),
        "form": quote_plus(KEY),
        "html": html.escape(KEY),
        "json": json.dumps(KEY)[1:-1],
        "base64": base64.b64encode(KEY.encode()).decode(),
        "url-safe base64": base64.urlsafe_b64encode(KEY.encode()).decode(),
        "bearer in base64": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
        "basic": user,
        "cut": KEY[:20],
    }
    return ways[way]


WAYS = [
    *("plain", "url", "url, slashes too", "form", "html", "json", "base64", "url-safe base64"),
    *("bearer in base64", "basic", "cut"),
]


@pytest.mark.parametrize("way", WAYS)
def test_keys_are_hidden_however_they_are_written(way):
    hidden = Redactor(KEY)(f"before {written(way)} after")
    assert "***" in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")
    assert KEY[:8] not in hidden
    # Of its base64 no run of characters is left that tells more than two of the key's.
    assert not any(written(way)[i : i + 12] in hidden for i in range(len(written(way)) - 12) if "base64" in way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("filling", [0, 285, 295])
def test_what_a_server_repeats_is_hidden_before_it_is_cut(way, filling):
    with serve(answer=lambda _: "") as server, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        server.behaviour.refuse = (401, "x" * filling + " " + written(way))
        asked = LLMClient_v1("tiny", base_url=server.url, api_key_env="OPENNER_TEST_KEY", structured="plain")
        (failure,) = asked.ask([REQUEST])
        asked.close()
    assert isinstance(failure, Failure)
    texts = [failure.message, *(str(each.message) for each in caught)]
    assert not any(written(way)[:12] in text for text in texts if "bearer" not in way and way != "basic")
    assert not any(KEY[:8] in text for text in texts)


def test_an_answer_with_the_key_is_not_kept(tmp_path):
    with serve(answer=lambda _: json.dumps({"said": f"it is {KEY}"})) as server:
        settings = {"base_url": server.url, "api_key_env": "OPENNER_TEST_KEY", "cache_dir": str(tmp_path)}
        asked = LLMClient_v1("tiny", **settings)
        assert isinstance(asked.ask([REQUEST])[0], LLMResponse)
        asked.close()
    assert sqlite3.connect(tmp_path / FILE).execute("SELECT count(*) FROM answers").fetchone() == (0,)
