"""Pixels: from the bytes of a source to the bytes of its variants. The only place that decodes or encodes pictures.

`render` turns one source into its variants; `steps` holds its steps, one module each. `formats` recognises what a file
is, `sources` opens it, `variants` reads finished variants, `demo` draws the demo's frames. Nothing is imported here, so
that a worker loads only what its pictures need. Reading and publishing files lives in `storage`, worker processes and
deadlines in `stages`.
"""
