"""One file for each MIL method; each ends with its `METHOD`, which the registry finds by itself."""
