"""What a prediction lays over a slide: its layers, how they look, the panel that changes it, and the legend."""
