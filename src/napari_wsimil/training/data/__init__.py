"""What there is to learn from: the manifest, the sides of a split, feature files and pixels."""
