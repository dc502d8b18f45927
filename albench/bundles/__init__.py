"""Published results: runs as a small directory without images and masks, which reports read as they read runs."""

from albench.bundles.published import published_results, with_published
from albench.bundles.reader import Bundle, is_bundle, read_bundle
from albench.bundles.writer import Origin, Publication, write_bundle

__all__ = [
    "Bundle",
    "Origin",
    "Publication",
    "is_bundle",
    "published_results",
    "read_bundle",
    "with_published",
    "write_bundle",
]
