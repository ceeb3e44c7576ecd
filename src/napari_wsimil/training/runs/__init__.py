"""A whole run, from a plan to a folder with package, figures and report; it can be stopped anywhere and gone on with."""
