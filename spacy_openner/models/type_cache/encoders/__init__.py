"""Encoders as the type cache runs them: layer by layer, in modules of their own with the names of `transformers`.

`transformers` takes three seconds to be imported, and runs an encoder as a whole only. What it saves is read here, and
what is saved here it can read.
"""
