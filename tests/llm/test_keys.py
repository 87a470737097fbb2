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
from spacy_openner.llm.keys import check_variable_name, read_key
from spacy_openner.llm.redaction import Redactor
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
        "cut at its beginning": KEY[12:],
        "upper case": KEY.upper(),
        "backwards": KEY[::-1],
        "over two lines": KEY[:14] + "\n" + KEY[14:],
        "over two lines of JSON": json.dumps(KEY[:14] + "\n" + KEY[14:])[1:-1],
        "escaped letters": "".join(f"\\u{ord(char):04x}" for char in KEY),
        "escaped letters in JSON": json.dumps("".join(f"\\u{ord(char):04X}" for char in KEY))[1:-1],
        "Python's escapes": "".join(f"\\x{ord(char):02x}" for char in KEY),
        "url, all letters": "".join(f"%{ord(char):02x}" for char in KEY),
        "url twice": quote(quote(KEY, safe=""), safe=""),
        "html, decimal": "".join(f"&#{ord(char)};" for char in KEY),
        "html, hexadecimal": "".join(f"&#x{ord(char):X};" for char in KEY),
        "html twice": html.escape(html.escape(KEY)),
        "hexadecimal": KEY.encode().hex().upper(),
    }
    return ways[way]


WAYS = [
    *("plain", "url", "url, slashes too", "form", "html", "json", "base64", "url-safe base64"),
    *("bearer in base64", "basic", "cut", "cut at its beginning", "upper case", "backwards"),
    *("over two lines", "over two lines of JSON", "escaped letters", "escaped letters in JSON", "Python's escapes"),
    *("url, all letters", "url twice", "html, decimal", "html, hexadecimal", "html twice", "hexadecimal"),
]


@pytest.mark.parametrize("way", WAYS)
def test_keys_are_hidden_however_they_are_written(way):
    hidden = Redactor(KEY)(f"before {written(way)} after")
    assert "***" in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")
    assert KEY[:8] not in hidden
    assert len(hidden) <= len("before *** after") + (12 if way in ("bearer in base64", "basic") else 6)
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


@pytest.mark.parametrize("key", ["sk-a%41b%42c%43", "back\\nslash\\x41\\u0041", "a&amp;b&lt;c&gt;d-e-f"])
def test_a_key_that_reads_as_escapes_is_hidden_too(key):
    for shown in (key, quote(key), html.escape(key), json.dumps(key)[1:-1], key.upper()):
        assert "***" in Redactor(key)(f"before {shown} after")
    assert Redactor(key)(f"before {key} after") == "before *** after"


@pytest.mark.parametrize("key", ["x", "none", "EMPTY", "local"])
def test_short_keys_are_hidden_as_words_of_their_own_alone(key):
    redact = Redactor(key)
    assert redact(f"Bearer {key}: wrong") == "Bearer ***: wrong"
    assert not redact.finds(f"an{key}other text")


def test_texts_without_the_key_stay_as_they_are():
    text = "50% of &amp; caf\u00e9 \\n \\u0041 \u0130stanbul &unknown; 100%25 sk-very"
    assert Redactor(KEY)(text) == text
    assert Redactor(None)(text) == text
