"""Small data, runs and machines that tests share."""
