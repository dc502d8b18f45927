"""Tables and figures computed from the records of runs."""
