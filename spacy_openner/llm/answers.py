"""Read the object that a model's answer is, in time that grows with the answer's length alone.

An answer is not read in the nearest sense that it may have: of an empty list that was made of rubbish, of a thought, or
of the first of two drafts, training would learn that there are no entities.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from .responses import THOUGHTS, Fault

# Characters. The library that repairs takes time by the square of some texts' lengths; of longer ones that are no JSON,
# those are read that Python's own parser reads.
LONGEST_REPAIR, LONGEST_LITERAL = 2_000, 100_000
DEEPEST_REPAIR = 32
OPENING = re.compile(r"[{\[]")
EMPTY = re.compile(r"\[\s*\]|\{\s*\}")
# So many brackets of prose are passed over, and so many fences are looked into.
MOST_BRACKETS, MOST_FENCES = 64, 4
TYPES: dict[str | None, type] = {"object": dict, "array": list, "string": str}


def parse(content: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read the object that an answer is: alone, in a code fence, among prose, or after what the model thought aloud.

    Read too are common slips: single quotes, trailing commas, JSON as a string of JSON, the value of the only key
    without the object around it, and the items of its list one by one. An answer that is cut is none, nor are two that
    differ. A key that an object has twice, with different values, is left out.

    content (str): What a model said.
    schema (Mapping[str, Any]): The keys that it requires must be there, with values of its types. At least one entry
        of a list or an object in these must be what the schema asks for; a list may be empty.
    RAISES (Fault): For anything else; it says that the answer is at fault.
    """
    wanted = _Wanted(schema)
    readings = _readings(content.strip().removeprefix("\ufeff"), wanted)
    fitting = [value for value in readings if not wanted.objection(value)]
    if not fitting:
        raise _malformed(wanted.objection(readings[0]) if readings else "no JSON object", content)
    if any(value != fitting[0] for value in fitting):
        raise _malformed("several answers that differ", content)
    try:
        json.dumps(fitting[0], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _malformed("half a character", content) from None
    return fitting[0]


def _malformed(what: str, content: str) -> Fault:
    return Fault("malformed", f"{what}: {content[:80]!a}", by_text=True)


class _Wanted(NamedTuple):
    """The object that an answer should be.

    schema: As the request has it.
    """

    schema: Mapping[str, Any]

    @property
    def required(self) -> list[str]:
        return list(self.schema.get("required", ()))

    def part(self, key: str) -> Mapping[str, Any]:
        """The schema of a key's value."""
        part: Mapping[str, Any] = self.schema.get("properties", {}).get(key, {})
        return part

    def objection(self, value: Any) -> str:
        """Say why a value is no answer; nothing if it is one."""
        if not isinstance(value, dict):
            return "no JSON object"
        missing = [key for key in self.required if key not in value]
        if missing:
            return f"an object without {', '.join(missing)}"
        for key in self.schema.get("properties", {}):
            kind = self.part(key).get("type")
            if key in value and kind != "string" and not _is_of(value[key], kind):
                return f"an object whose {key} is no {kind}"
            if key in value and not _any_fits(value[key], self.part(key)):
                return f"an object whose {key} holds nothing that was asked for"
        return ""

    def wrapped(self, values: Sequence[Any]) -> list[Any]:
        """Put the object around the value of its only key, or around the items of its list, where it was left out."""
        if len(self.required) != 1:
            return list(values)
        key, part = self.required[0], self.part(self.required[0])
        item = part.get("items", {})
        if item.get("required") and values and all(_is_item(value, item) for value in values):
            return [{key: list(values)}]
        return [{key: value} if _lacks_object(value, key, part) else value for value in values]


def _lacks_object(value: Any, key: str, part: Mapping[str, Any]) -> bool:
    """Tell whether a value is that of the only key of an object.

    part (Mapping[str, Any]): The schema of this key's value.
    """
    if part.get("type") == "array":
        return isinstance(value, list)
    is_object = part.get("type") == "object" and isinstance(value, dict) and key not in value
    return is_object and not set(part.get("properties", ())).isdisjoint(value)


def _any_fits(value: Any, part: Mapping[str, Any]) -> bool:
    """Tell whether a list has an item, or none at all, or an object a value, of those that a schema describes."""
    if isinstance(value, list) and "items" in part:
        return not value or any(_is_item(item, part["items"]) for item in value)
    inner = part.get("properties")
    if isinstance(value, dict) and inner:
        return any(key in value and _is_item(value[key], inner[key]) for key in inner)
    return True


def _is_item(value: Any, part: Mapping[str, Any]) -> bool:
    """Tell whether a value is of a schema's type, with all that it requires."""
    if not _is_of(value, part.get("type")):
        return False
    inner = part.get("properties", {})
    return all(key in value and _is_item(value[key], inner.get(key, {})) for key in part.get("required", ()))


def _readings(text: str, wanted: _Wanted) -> list[Any]:
    """Return what a text may say, by the surest way of reading: as JSON, as JSON among prose, and with repairs."""
    whole = _loads(text)
    if whole is not None:
        return wanted.wrapped([whole])
    answer = _without_thoughts(text)
    values, is_plain = _scanned(answer)
    own = [value for value in values if isinstance(value, dict) and set(wanted.required) <= set(value)]
    # What is cut could be completed, too, and would pass for a whole answer.
    if own or answer.count("{") != answer.count("}") or answer.count("[") != answer.count("]"):
        return own
    if values and is_plain:
        return wanted.wrapped(values)
    parts = (*answer.split("```", 2 * MOST_FENCES)[1::2], answer)
    repaired = (value for part in parts if (value := _repaired(_bracketed(part))) is not None)
    return wanted.wrapped(list(islice(repaired, 1)))


def _is_of(value: Any, kind: str | None) -> bool:
    return isinstance(value, TYPES.get(kind, object))


def _without_thoughts(text: str) -> str:
    """Leave out what a model thought aloud, and all behind a thought that does not end."""
    for opening, closing in THOUGHTS:
        if opening in text or closing in text:
            text = _without(text, opening, closing)
    return text.strip()


def _without(text: str, opening: str, closing: str) -> str:
    *before, text = text.split(closing)
    parts: list[str] = []
    for part in before:
        before_mark, mark, _ = part.partition(opening)
        # Without the mark, what was said so far was a thought that began with the answer.
        if mark:
            parts.append(before_mark)
        else:
            parts.clear()
    return "".join([*parts, text.partition(opening)[0]])


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object without the keys that it has twice with different values: nobody knows which was meant."""
    value = dict(pairs)
    if len(value) < len(pairs):
        for key in {key for key, item in pairs if item != value[key]}:
            del value[key]
    return value


def _loads(text: str) -> Any:
    """Read JSON, or JSON of JSON; None for what is none."""
    try:
        value = json.loads(text, object_pairs_hook=_unambiguous)
        return json.loads(value, object_pairs_hook=_unambiguous) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _scanned(text: str) -> tuple[list[Any], bool]:
    """Find the values of JSON among prose.

    RETURNS (tuple): The values, and whether there was no other bracket.
    """
    decoder, values, at, n_others = json.JSONDecoder(object_pairs_hook=_unambiguous), list[Any](), 0, 0
    while n_others < MOST_BRACKETS:
        bracket = OPENING.search(text, at)
        if bracket is None:
            break
        try:
            value, at = decoder.raw_decode(text, bracket.start())
            values.append(value)
        except (ValueError, RecursionError):
            at, n_others = bracket.end(), n_others + 1
    return values, not n_others


def _bracketed(text: str) -> str:
    """Return the text from its first opening to its last closing bracket."""
    opening = OPENING.search(text)
    return text[opening.start() : max(text.rfind("}"), text.rfind("]")) + 1] if opening else ""


def _repaired(text: str) -> Any:
    """Read what is nearly JSON; None for what is not."""
    if not text or len(text) > LONGEST_LITERAL or _depth(text) > DEEPEST_REPAIR:
        return None
    if len(text) > LONGEST_REPAIR:
        return _literal(text)
    import json_repair

    try:
        value = json_repair.loads(text)
    except (ValueError, RecursionError):
        return None
    # Rubbish becomes an empty list, too.
    return value if EMPTY.search(text) or _is_full(value) else None


def _is_full(value: Any) -> bool:
    return bool(value) and (not isinstance(value, dict) or any(map(bool, value.values())))


def _literal(text: str) -> Any:
    """Read what Python would write; None for what JSON cannot hold, and for escapes, which Python warns of."""
    if "\\" in text:
        return None
    try:
        value = ast.literal_eval(text)
        json.dumps(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return value


def _depth(text: str) -> int:
    """Count how deep brackets are nested, those in strings too."""
    depth = deepest = 0
    for char in text:
        if char in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "}])":
            depth -= 1
    return deepest
