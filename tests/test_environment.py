"""A wrong setting is told from an installation that does not work."""

import pytest
import spacy
from typer.testing import CliRunner

from spacy_openner import environment
from spacy_openner.cli.app import app
from spacy_openner.environment import blank_pipeline, load_pipeline
from spacy_openner.errors import InstallationError, SettingError


def broken_plugin(monkeypatch):
    """Have spaCy's imports of plug-ins end as those of spacy-transformers under transformers 5 do."""

    def fail(*args, **kwargs):
        raise ImportError("cannot import name 'BatchEncoding'", name="transformers.tokenization_utils")

    monkeypatch.setattr(spacy, "blank", fail)
    monkeypatch.setattr(spacy, "load", fail)


@pytest.mark.parametrize("lang", ["xx1", "", "../x", "klingon"])
def test_an_unknown_language_is_a_wrong_setting(lang):
    with pytest.raises(SettingError, match=r"O001.*lang"):
        blank_pipeline(lang)


def test_languages_that_spacy_knows():
    assert blank_pipeline("en").lang == "en"
    assert blank_pipeline("xx").lang == "xx"


def test_a_plug_in_that_cannot_be_imported_is_no_wrong_setting(monkeypatch, tmp_path):
    broken_plugin(monkeypatch)
    monkeypatch.setattr(environment, "installed_version", {"transformers": "4.53.2", "spacy-transformers": "1.4.0"}.get)
    with pytest.raises(InstallationError, match=r"O303.*BatchEncoding.*transformers\.tokenization_utils"):
        blank_pipeline("en")
    monkeypatch.setattr(environment, "installed_version", {"transformers": "5.16.1"}.get)
    with pytest.raises(InstallationError, match="O303"):
        load_pipeline(tmp_path)


def test_releases_that_do_not_fit_are_named_with_what_to_do(monkeypatch):
    broken_plugin(monkeypatch)
    monkeypatch.setattr(environment, "installed_version", {"transformers": "5.16.1", "spacy-transformers": "1.4.0"}.get)
    with pytest.raises(InstallationError, match=r"O302.*1\.4\.0.*5\.16\.1.*spacy-openner\[trf\]"):
        blank_pipeline("en")
    result = CliRunner().invoke(app, ["Ann left Oslo", "--labels", "person"])
    assert result.exit_code != 0
    assert "O302" in result.output
    assert "O001" not in result.output
