"""Tables and figures computed from the records of runs. `load` gives every number as a DataFrame."""

from albench.reports.results import Study, load

__all__ = ["Study", "load"]
