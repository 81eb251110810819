"""Deploys ``infra/`` on moto, as ``aws cloudformation package`` and ``deploy`` would on AWS."""

from __future__ import annotations

import json
from typing import Any

from moto.cloudformation.models import Stack

from tests.infra.templates import TEMPLATES, load

__all__ = ["LACKING", "deploy", "teach_nested_outputs"]

BUCKET, REGION = "templates", "us-east-1"
# What moto's CloudFormation knows nothing of and leaves out with a warning. These are checked as text alone (test_templates.py,
# test_least_privilege.py); of the bucket it makes no more than name and encryption, of a queue's definition it skips what it does
# not know.
LACKING = {
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}


def teach_nested_outputs(patch: Any) -> None:
    """Let moto's nested stacks hand out their outputs, which it lacks."""

    def output(self: Stack, name: str) -> Any:
        return self.output_map[name.removeprefix("Outputs.")].value

    patch.setattr(Stack, "get_cfn_attribute", output, raising=False)
    patch.setattr(Stack, "has_cfn_attr", classmethod(lambda cls, name: name.startswith("Outputs.")), raising=False)


def deploy(client: Any, **parameters: str) -> dict[str, str]:
    """Upload the templates, create the stack from ``reelflow.yaml`` and return its outputs; ``client`` makes boto3 clients."""
    s3, cloudformation = client("s3"), client("cloudformation")
    s3.create_bucket(Bucket=BUCKET)
    for name in TEMPLATES:
        template = load(name)
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::CloudFormation::Stack":
                resource["Properties"]["TemplateURL"] = (
                    f"https://s3.amazonaws.com/{BUCKET}/{resource['Properties']['TemplateURL']}"
                )
        s3.put_object(Bucket=BUCKET, Key=name, Body=json.dumps(template))
    _make_service_role(client("iam"))
    cloudformation.create_stack(
        StackName="reelflow",
        TemplateURL=f"https://s3.amazonaws.com/{BUCKET}/reelflow.yaml",
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in _lists(parameters).items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = cloudformation.describe_stacks(StackName="reelflow")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _lists(parameters: dict[str, str]) -> dict[str, str]:
    """Return ``parameters`` with the defaults of lists, which moto takes apart only where they are given."""
    defaults = {
        name: body["Default"]
        for name, body in load("reelflow.yaml")["Parameters"].items()
        if body["Type"] == "CommaDelimitedList" and name not in parameters
    }
    return defaults | parameters


def _make_service_role(iam: Any) -> None:
    """Make the role that `aws iam create-service-linked-role --aws-service-name batch.amazonaws.com` makes."""
    iam.create_role(
        Path="/aws-service-role/batch.amazonaws.com/", RoleName="AWSServiceRoleForBatch", AssumeRolePolicyDocument="{}"
    )
