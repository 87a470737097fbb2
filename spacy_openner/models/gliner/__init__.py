"""GLiNER: span matchers with types in the prompt or encoded apart."""
