"""Training: for now the bundled encoder and the bundled model, from generated slides, by one command."""
