"""From scored candidates or generated text to the set that is kept."""
