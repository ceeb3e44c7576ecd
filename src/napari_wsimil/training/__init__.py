"""Training: from a manifest, or corrections of a finished model, to a model package."""
