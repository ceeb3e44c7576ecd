"""One small file for each way to open a slide; all of them are a `Backend`."""
