"""Tables and figures computed from the records of runs. `load` gives every number as a DataFrame."""

from albench.reports.publishing import publish
from albench.reports.results import Results, load

__all__ = ["Results", "load", "publish"]
