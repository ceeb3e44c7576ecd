"""How good a model is: scores, figures with intervals, calibration, plots and the report."""
