"""MONAI Label on a project of albench: its worklist as a strategy, its volumes and label files as a datastore."""
