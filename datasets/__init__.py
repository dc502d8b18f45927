"""The datasets: one file per source of images. A new file in this folder is found without any other change."""
