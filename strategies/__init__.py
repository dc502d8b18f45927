"""The query strategies: one file per method. A file dropped in here is found without any other change."""
