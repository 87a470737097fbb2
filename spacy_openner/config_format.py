"""The part of a setting's value that spaCy's config files can hold, and what stands there for the rest.

They lose or change some keys of mappings ("a: b", "#x"), take keys that begin with "@" for registered functions, "${"
for a variable, and join neighbours in lists of which one ends, and the next begins, with "$". Each save and load
doubles "$", which `Settings.loaded` and `undoubled` undo.
"""

import re
from collections.abc import Mapping
from typing import Any

from confection import Config

from .errors import error

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ ,()'/&-]*(?<! )")


def fits_config(value: Any) -> bool:
    """Return whether a config file gives back a setting's plain value, doubled "$" aside."""
    if isinstance(value, str):
        return "${" not in value
    if isinstance(value, list):
        return all(map(fits_config, value)) and ("$" not in str(value) or _survives(value))
    if not isinstance(value, Mapping):
        return True
    if not all(map(fits_config, value.values())) or any(key.startswith("@") or "${" in key for key in value):
        return False
    odd = {key: part for key, part in value.items() if isinstance(part, Mapping) or not _PLAIN_KEY.fullmatch(key)}
    return not odd or _survives(odd)


def same_name(name: str) -> str:
    """Return the form in which names are compared while a pipeline is loaded: spaCy has doubled "$" in lists and values
    by then, and not in keys."""
    return re.sub(r"\$+", "$", name)


def undoubled(value: Any, saved: Any) -> Any:
    """Return what was saved as a value: spaCy's loading doubles "$" in strings.

    value (Any): What a component was built with.
    saved (Any): What the saved config says, as it is loaded. Strings that are others were overridden, and stay.
    """
    if isinstance(value, Mapping) and isinstance(saved, Mapping):
        return {key: undoubled(part, saved.get(key)) for key, part in value.items()}
    if isinstance(value, list) and isinstance(saved, list) and len(value) == len(saved):
        return [undoubled(*pair) for pair in zip(value, saved, strict=True)]
    return value.replace("$$", "$") if isinstance(value, str) and value == saved else value


def config_value(value: Any, default: Any) -> Any:
    """Return what a config says of a setting whose value it may not be able to hold.

    value (Any): The setting's plain value.
    default (Any): Its plain default.
    RETURNS (Any): The value, or what fits of it: items of lists, of mappings that are empty by default, and of those
        from texts to texts (tables); labels without their descriptions; or the default. All of it can be built.
    """
    if fits_config(value):
        return value
    if isinstance(value, list) or (isinstance(value, Mapping) and isinstance(default, list)):
        fitting = [item for item in value if fits_config(item)]
        return fitting if fits_config(fitting) else [item for item in fitting if "$" not in item]
    if not (isinstance(value, Mapping) and (isinstance(default, Mapping) or _is_flat(value))):
        return default
    # Whole ones: a validator without what it checks is none.
    items = {key: part for key, part in value.items() if fits_config({key: part})}
    return items if fits_config(items) else default


def _is_flat(mapping: Mapping[str, Any]) -> bool:
    return all(isinstance(each, str) for each in mapping.values())


def check_config_value(name: str, value: Any) -> None:
    """Refuse a value that a config file would lose or change when a pipeline is saved.

    name (str): The setting.
    RAISES (SettingError): Naming the first part of it that does not fit, and the way around it.
    """
    if not fits_config(value):
        parts = value if isinstance(value, list | Mapping) else [value]
        # Of lists such as ["US$", "$"], each part would fit.
        whole = value if isinstance(value, list) else next(iter(parts))
        one = (lambda part: {part: value[part]}) if isinstance(value, Mapping) else (lambda part: part)
        bad = next((part for part in parts if not fits_config(one(part))), whole)
        raise error("O009", name=name, key=bad)


def check_config_text(name: str, value: str | None) -> None:
    """Refuse a text, of an object that a config describes, in which spaCy sees a variable.

    name (str): What the config calls it.
    RAISES (SettingError): O001.
    """
    if not fits_config(value):
        raise error(
            "O001", name=name, value=value, allowed='a text without "${", which stands for variables in configs'
        )


def _survives(value: Any) -> bool:
    config = Config({"section": {"value": value}})
    try:
        text = config.to_str()
        # Files are read with every line end as "\n".
        text = text.replace("$$", "$").replace("\r\n", "\n").replace("\r", "\n")
        read = Config().from_str(text, interpolate=False)
        return bool(read["section"]["value"] == value and config.interpolate()["section"]["value"] == value)
    except Exception:
        # Whatever the format cannot read back, in whichever way it says so.
        return False
