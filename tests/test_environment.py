"""A wrong setting is told from an installation that does not work."""

import json

import pytest
import spacy
from thinc.api import ConfigValidationError
from typer.testing import CliRunner

from spacy_openner import environment
from spacy_openner.cli.app import app
from spacy_openner.environment import blank_pipeline, load_pipeline
from spacy_openner.errors import CheckpointError, InstallationError, SettingError


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


OLD_SETTINGS = {
    "open_ner_span": ("sampler", {"ratio": 0.5, "most_absent": 0, "drop": 0.1}, "negative_ratio"),
    "type_filter": (None, {"always": []}, "keep_labels"),
    "gner_generator": (None, {"recognition": 0.0, "candidates": "only"}, "type_recognition_ratio"),
    "lar_reassigner": (None, {"none": "drop", "unmapped": "keep"}, "on_none"),
}


@pytest.mark.parametrize("factory", OLD_SETTINGS)
def test_pipelines_saved_before_the_first_release_are_refused(factory, tmp_path):
    section, settings, new = OLD_SETTINGS[factory]
    nlp = spacy.blank("en")
    nlp.add_pipe(factory)
    config = nlp.config.copy()
    own = config["components"][factory]
    (own if section is None else own[section]).update(settings)
    config.to_disk(tmp_path / "config.cfg")
    (tmp_path / "meta.json").write_text(json.dumps(nlp.meta), encoding="utf8")
    with pytest.raises(CheckpointError, match=rf"O127.*`{next(iter(settings))}` is now `{new}`.*Build it anew"):
        load_pipeline(tmp_path)


def test_other_mistakes_in_a_config_are_shown_as_spacy_does(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("lar_reassigner")
    config = nlp.config.copy()
    config["components"]["lar_reassigner"]["magic"] = True
    config.to_disk(tmp_path / "config.cfg")
    (tmp_path / "meta.json").write_text(json.dumps(nlp.meta), encoding="utf8")
    with pytest.raises(ConfigValidationError, match="magic"):
        load_pipeline(tmp_path)
