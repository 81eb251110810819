"""Reads what the CloudFormation templates say of tables and buckets, so that it is said once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["cors_rules", "load", "tables"]

# What DynamoDB local knows of a table; encryption, backups and the like are AWS's own.
_KNOWN = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes", "BillingMode")


class _Loader(yaml.SafeLoader):
    """Reads ``!Ref``, ``!Sub`` and the other short forms as what stands behind them."""


def _short_form(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)  # noqa: S101  the third of three kinds
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _short_form)


def load(path: Path) -> Mapping[str, Any]:
    """Return a template as a document."""
    document = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506  a safe loader
    if not isinstance(document, dict):
        raise TypeError(f"{path.name} is no template")
    return document


def tables(template: Mapping[str, Any], prefix: str = "reelflow-") -> list[tuple[dict[str, Any], str | None]]:
    """Return the arguments of ``CreateTable`` for each table, and the attribute by whose time its items go (or ``None``).

    A table's name is the prefix and its logical name in small letters without ``Table``: ``UploadsTable``, ``reelflow-uploads``.
    """
    found = []
    for logical_name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::DynamoDB::Table":
            continue
        properties = resource["Properties"]
        arguments = {name: properties[name] for name in _KNOWN if name in properties}
        arguments["TableName"] = prefix + logical_name.removesuffix("Table").lower()
        found.append((arguments, properties.get("TimeToLiveSpecification", {}).get("AttributeName")))
    return found


def cors_rules(template: Mapping[str, Any], bucket: str) -> list[dict[str, Any]]:
    """Return the CORS rules of the bucket with that logical name in ``PutBucketCors``' words, for pages of any origin."""
    rules = template["Resources"][bucket]["Properties"]["CorsConfiguration"]["CorsRules"]
    return [
        {
            "AllowedMethods": rule["AllowedMethods"],
            "AllowedOrigins": ["*"],
            "AllowedHeaders": rule.get("AllowedHeaders", []),
            "ExposeHeaders": rule.get("ExposedHeaders", []),
            "MaxAgeSeconds": rule.get("MaxAge", 3600),
        }
        for rule in rules
    ]
