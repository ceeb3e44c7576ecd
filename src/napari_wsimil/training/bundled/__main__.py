"""`python -m napari_wsimil.training.bundled`."""

from napari_wsimil.training.bundled.making import main

if __name__ == "__main__":
    main()
