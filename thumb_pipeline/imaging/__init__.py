"""Pixels: from the bytes of a source to the bytes of its variants. The only place that decodes or encodes pictures.

`render` turns one source into its variants, `inspect` reads a finished variant, `steps` holds what happens between,
one module a step. Nothing is imported here, so that a worker loads only what its pictures need. Reading and
publishing files lives in `storage`, worker processes and deadlines in `stages`.
"""
