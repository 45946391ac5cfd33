"""The steps of a rendering, one module each; `render` shows their order.

Steps of decoding take a `Source` and fill it in; steps on pixels take a picture and a task and return a picture.
A step that finds nothing to do returns early. What they share is in `tasks`.
"""
