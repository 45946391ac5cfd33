"""The steps of a rendering, one module each; `render` shows their order.

Steps of decoding take a `Source` and fill it in; steps on pixels take a picture and a task and return a picture.
A step with nothing to do returns early. The values they share are in `tasks`.
"""
