"""A finished run, shown. Functions of the records alone; nothing here decides whether a run passes.

`terminal` and `difference` write on a rich console; `junit`, `json` and `markdown` return text. `words` is what they
share: how a number, a name or a failure is spelt.
"""
