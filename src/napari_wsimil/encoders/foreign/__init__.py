"""Encoders that others made: Hugging Face's transformers, timm, and files that are programs."""
