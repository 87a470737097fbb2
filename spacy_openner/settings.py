"""Names of types as keys of config files, which cannot hold all of them."""

from collections.abc import Mapping
from typing import Any

from confection import Config

from .errors import error


def check_config_keys(setting: str, mapping: Mapping[str, Any]) -> None:
    """Refuse keys that spaCy's config format would lose or change when a pipeline is saved ("a: b", "#x").

    setting (str): What the mapping is called, for the message.
    RAISES (SettingError): Naming the first such key, and the way around it.
    """
    if not _survive(mapping):
        bad = next((key for key in mapping if not _survive({key: mapping[key]})), next(iter(mapping)))
        raise error("O009", name=setting, key=bad)


def _survive(mapping: Mapping[str, Any]) -> bool:
    keys = {str(key): 1 for key in mapping}
    try:
        text = Config({"section": {"keys": keys}}).to_str()
        return bool(Config().from_str(text)["section"]["keys"] == keys)
    except Exception:
        # Whatever the format cannot read back, in whichever way it says so.
        return False
