"""Texts with entities by character offsets: tokens by a language's tokenizer, or given ones, and spans of these."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ..environment import blank_pipeline
from ..errors import error
from .texts import AnnotatedText, Span, Tally

if TYPE_CHECKING:
    from spacy.tokens import Doc

POLICIES = ("drop", "join")
WIDENED = "entity that starts or ends inside a token, widened to it"
TURNED = "offsets in {}, turned into characters"
# The byte order mark, as a character.
MARK_OF_ORDER = "\ufeff"
JOINED = "discontinuous entity, joined over its gaps"


class Mark(NamedTuple):
    """An entity by characters.

    label: Its type.
    parts: Start and end (exclusive) of each of its parts, in order; one for an entity without gaps.
    where: Where it is written.
    text: What it says, if that is written too: whatever white space is there.
    """

    label: str
    parts: Sequence[tuple[int, int]]
    where: str
    text: str | None = None


class OffsetAligner:
    """Turns texts with marks into annotated texts.

    lang (str): Code of the language whose tokenizer is used.
    tally (Tally | None): Where to count the entities that are dropped or widened.
    discontinuous (str): What becomes of entities with gaps: "drop", or "join" them into one over the gaps.
    RAISES (SettingError): For an unknown language or policy.
    """

    def __init__(self, lang: str, tally: Tally | None, discontinuous: str = "drop") -> None:
        if discontinuous not in POLICIES:
            raise error("O001", name="discontinuous", value=discontinuous, allowed=", ".join(map(repr, POLICIES)))
        self.tokenizer = blank_pipeline(lang).tokenizer
        self.tally = tally or Tally()
        self.join = discontinuous == "join"

    def align(
        self, text: str, marks: Iterable[Mark], where: str, tokens: Sequence[tuple[int, int]] | None = None
    ) -> AnnotatedText:
        """Split a text into tokens, and find those of its entities.

        tokens (Sequence[tuple[int, int]] | None): Start and end (exclusive) of given tokens, in order; None to use the
            tokenizer.
        RETURNS (AnnotatedText): One document.
        RAISES (DataError): For half characters.
        """
        require_unicode(where, text)
        units = _Units(text)
        marks = [self._in_characters(mark, units) for mark in marks]
        if tokens is None and text.startswith(MARK_OF_ORDER):
            # It would stay in the first word. The offsets count it.
            text, marks = text[1:], [_one_before(mark) for mark in marks]
        doc = self.tokenizer(text) if tokens is None else self._given(text, tokens, where)
        spans = [self._span(doc, mark, text) for mark in marks]
        return AnnotatedText(
            tokens=tuple(token.text for token in doc),
            spans=tuple(span for span in spans if span),
            spaces=tuple(bool(token.whitespace_) for token in doc),
            sent_starts=(),
            starts_doc=True,
            where=where,
        )

    def _given(self, text: str, tokens: Sequence[tuple[int, int]], where: str) -> "Doc":
        """Make a doc of given tokens, and of what stands between them."""
        from spacy.tokens import Doc

        words, spaces, at = list[str](), list[bool](), 0
        for start, end in [*tokens, (len(text), len(text))]:
            if not at <= start <= end <= len(text):
                shown = f"[{start}, {end}] behind {at}"
                raise error(
                    "O401", where=where, expected="tokens in order, inside the text", found=shown, kind="tokens"
                )
            between = text[at:start]
            if between.startswith(" ") and words:
                spaces[-1], between = True, between[1:]
            for part in (between, text[start:end]):
                words += [part] * bool(part)
                spaces += [False] * bool(part)
            at = end
        return Doc(self.tokenizer.vocab, words, spaces)

    def _in_characters(self, mark: Mark, units: "_Units") -> Mark:
        """Turn offsets in other units into characters, where only these hold what the entity says."""
        if mark.text is None or _says(units.text, mark):
            return mark
        for unit, table in units.tables.items():
            if all(0 <= offset < len(table) for part in mark.parts for offset in part):
                turned = mark._replace(parts=[(table[start], table[end]) for start, end in mark.parts])
                if _says(units.text, turned):
                    self.tally.repair(TURNED.format(unit), mark.where)
                    return turned
        return mark

    def _span(self, doc: "Doc", mark: Mark, text: str) -> Span | None:
        """Find an entity's tokens; None if it is dropped, which is counted."""
        reason = _objection(text, mark, self.join)
        if reason:
            self.tally.drop(reason, mark.where)
            return None
        if _gaps(text, mark):
            self.tally.repair(JOINED, mark.where)
        start, end = mark.parts[0][0], mark.parts[-1][1]
        # Blanks at the edges would draw in the token before.
        shown = text[start:end]
        start, end = start + len(shown) - len(shown.lstrip()), end - len(shown) + len(shown.rstrip())
        span = doc.char_span(start, end, alignment_mode="expand")
        if (span.start_char, span.end_char) != (start, end):
            self.tally.repair(WIDENED, mark.where)
        return (span.start, span.end, mark.label)


def _one_before(mark: Mark) -> Mark:
    """Move a mark one character to the left; what begins before the text stays there, as an objection to it."""
    parts = [(start - (start != 0), end - 1) for start, end in mark.parts]
    return mark._replace(parts=parts, text=mark.text and mark.text.removeprefix(MARK_OF_ORDER))


def _objection(text: str, mark: Mark, join: bool) -> str:
    """Say why an entity cannot be used; nothing if it can.

    join (bool): Gaps are no reason.
    """
    if not mark.parts or min(map(min, mark.parts)) < 0 or max(map(max, mark.parts)) > len(text):
        return "offsets outside of the text"
    written = " ".join(text[start:end] for start, end in mark.parts)
    if not written.strip() or mark.parts[0][0] >= mark.parts[-1][1]:
        return "empty"
    if not _says(text, mark):
        return "offsets that do not hold the annotated text"
    return "discontinuous" if _gaps(text, mark) and not join else ""


def _says(text: str, mark: Mark) -> bool:
    """Tell whether the characters of an entity are what it says, if it says something: white space does not count."""
    if mark.text is None:
        return True
    words = mark.text.split()
    # Slices are as long as a file says.
    longest = 8 * sum(map(len, words)) + 1000
    slices = [text[start : min(end, start + longest)] if start >= 0 else "" for start, end in mark.parts]
    return words == " ".join(slices).split()


class _Units:
    """Other units than characters that offsets into a text may be in.

    text (str): The text.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def tables(self) -> dict[str, list[int]]:
        """Unit -> the character at each offset in it. Only units that differ from characters in this text are there."""
        text, sizes = self.text, dict[str, Iterable[int]]()
        if not text.isascii():
            sizes["UTF-16 units"] = (1 + (char > "\uffff") for char in text)
            sizes["UTF-8 bytes"] = (len(char.encode()) for char in text)
        if "\r\n" in text:
            sizes["characters of a text with single line ends"] = (
                0 if pair == ("\r", "\n") else 1 for pair in zip(text, text[1:] + " ", strict=True)
            )
        if text.startswith("\ufeff"):
            sizes["characters behind the byte order mark"] = (i > 0 for i in range(len(text)))
        return {
            unit: [*(i for i, size in enumerate(widths) for _ in range(size)), len(text)]
            for unit, widths in sizes.items()
        }


def _gaps(text: str, mark: Mark) -> list[str]:
    """Return what stands between an entity's parts; some formats also start a new part at each line, with no gap."""
    gaps = (text[end:start] for (_, end), (start, _) in zip(mark.parts, mark.parts[1:], strict=False))
    return [gap for gap in gaps if gap.strip()]


def require_unicode(where: str, *texts: str) -> None:
    """Refuse half characters, which JSON can hold and UTF-8 cannot.

    RAISES (TextError): For a lone surrogate, such as "\\ud83d" without its other half.
    """
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as err:
        raise error("O203", what=where, reason=err.reason) from err


def from_utf16(text: str, offset: int) -> int:
    """Turn an offset in UTF-16 units, as JavaScript and Java count, into one in characters."""
    return len(text.encode("utf-16-le")[: 2 * offset].decode("utf-16-le", errors="replace"))
