"""The datasets: one file per source of images. A file dropped in here is found without any other change."""
