"""YAML as users write it: `1e-4` is a number, and a key occurs once."""

from __future__ import annotations

import re

import yaml


def load_yaml(text: str) -> object:
    """The content of a YAML document as plain values. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # a SafeLoader


class _Loader(yaml.SafeLoader):
    """Rejects repeated keys, of which YAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """A mapping whose keys differ."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key '{key}' occurs twice in line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


# PyYAML follows YAML 1.1, where a number needs a dot and a signed exponent: 1e-4 would be text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
