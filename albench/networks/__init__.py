"""The networks, one file each. A new file in this folder is found without any other change."""
