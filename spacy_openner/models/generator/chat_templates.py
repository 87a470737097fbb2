"""Chat templates of tokenizers: programs that write the text around a message."""

from itertools import product
from typing import Any

PROMPT = "{prompt}"
DEFAULT = "default"
# A message as most templates read it, and as those of models that see images do, too.
CONTENTS = (PROMPT, [{"type": "text", "text": PROMPT}])
# Some only work where there are tools, be it none.
TOOLS: tuple[list[Any] | None, ...] = (None, [])


class TemplateError(ValueError):
    """A chat template cannot be used."""


def text_around(tokenizer: Any) -> str:
    """Return the text that a tokenizer's chat template writes around a message of the user's, "{prompt}".

    RAISES (TemplateError): For several templates without a default, one that fails, and one that does not write the
        message, or more than once.
    """
    template, problem = _chosen(tokenizer.chat_template), ""
    for content, tools in product(CONTENTS, TOOLS):
        messages = [{"role": "user", "content": content}]
        try:
            text = tokenizer.apply_chat_template(
                messages, chat_template=template, tools=tools, tokenize=False, add_generation_prompt=True
            )
        # Programs fail in ways of their own.
        except Exception as failure:
            problem = problem or f"it fails with {type(failure).__name__}: {failure}"
            continue
        if isinstance(text, str) and text.count(PROMPT) == 1:
            return text
        problem = problem or "it does not write a message as it is, once"
    raise TemplateError(problem)


def _chosen(templates: Any) -> str:
    """Return the template of conversations, of those that a tokenizer has by name."""
    if not isinstance(templates, dict):
        return str(templates)
    name = next(iter(templates)) if len(templates) == 1 else DEFAULT
    if name not in templates:
        raise TemplateError(f"there are several ({', '.join(templates)}), and none is called {DEFAULT!r}")
    return str(templates[name])
