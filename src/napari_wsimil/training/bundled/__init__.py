"""The bundled encoder and the bundled model, made again by one command: `python -m napari_wsimil.training.bundled`."""
