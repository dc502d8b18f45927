"""What MONAI Label looks for in the folder of an app: the class of the app."""

from albench_monai_label.app import AlbenchApp

__all__ = ["AlbenchApp"]
