"""The window: napari reader and writer, layers, and the dock "Slide analysis".

The only package that knows Qt and napari. Nothing is imported here: napari imports each part by name from `napari.yaml`, and a
part that draws nothing (`layers`, `words`) works without a window.
"""
