"""The templates below ``infra/`` as data, and ways to walk them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
TEMPLATES = tuple(
    sorted(path.relative_to(INFRA).as_posix() for path in INFRA.rglob("*.yaml") if "Resources:" in path.read_text())
)
POLICY_TYPES = (
    "AWS::IAM::Policy",
    "AWS::IAM::ManagedPolicy",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::SNS::TopicPolicy",
)


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as the long ones."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


def load(name: str) -> dict[str, Any]:
    """Return a template with its functions in their long form."""
    return yaml.load((INFRA / name).read_text(), _Loader)  # a SafeLoader


@dataclass(frozen=True)
class Resource:
    """One resource of a template."""

    template: str
    name: str
    type: str
    properties: dict[str, Any]
    whole: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.template}: {self.name}"


def resources(*types: str) -> Iterator[Resource]:
    """Yield all resources of all templates, or those of some types."""
    for template in TEMPLATES:
        for name, body in load(template)["Resources"].items():
            if not types or body["Type"] in types:
                yield Resource(template, name, body["Type"], body.get("Properties", {}), body)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy: where it stands, and its parts as lists."""

    place: str
    body: dict[str, Any]
    trust: bool = False

    @property
    def actions(self) -> list[str]:
        return flat(self.body.get("Action", []))

    @property
    def arns(self) -> list[str]:
        return [text(arn) for arn in flat(self.body.get("Resource", []))]


def statements() -> Iterator[Statement]:
    """Yield every statement of every policy in every template."""
    for resource in resources():
        documents = [(resource.name, resource.properties["PolicyDocument"], False)] if resource.type in POLICY_TYPES else []
        if resource.type == "AWS::IAM::Role":
            documents = [
                (f"{resource.name}/{policy['PolicyName']}", policy["PolicyDocument"], False)
                for policy in resource.properties.get("Policies", ())
            ]
            documents.append((f"{resource.name}/trust", resource.properties["AssumeRolePolicyDocument"], True))
        for name, document, trust in documents:
            for number, body in enumerate(document["Statement"]):
                yield Statement(f"{resource.template}: {name}/{body.get('Sid', number)}", body, trust)


def flat(value: Any) -> list[Any]:
    """Return the alternatives of a value as a list: those of ``Fn::If``, too."""
    if isinstance(value, list):
        return [item for part in value for item in flat(part)]
    if isinstance(value, dict) and set(value) == {"Fn::If"}:
        return flat(value["Fn::If"][1:])
    if value == {"Ref": "AWS::NoValue"}:
        return []
    return [value]


def text(value: Any) -> str:
    """Return an ARN as one string; a reference to a resource or a parameter has no wildcard in it."""
    if isinstance(value, str):
        return value
    if set(value) == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
        return str(value["Fn::Sub"])
    assert set(value) <= {"Ref", "Fn::GetAtt", "Fn::ImportValue"}, f"unknown form of an ARN: {value}"
    return f"<{value}>"
