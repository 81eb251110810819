"""No policy allows more than its purpose wants."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.infra.exceptions import NOT_FOR_THE_AGENT, WILDCARDS
from tests.infra.templates import Statement, flat, load, resources, statements

ROOT = Path(__file__).resolve().parents[2]
ALLOWING = [statement for statement in statements() if statement.body["Effect"] == "Allow"]
# What the worker's object store calls, and the actions that S3 wants for it.
S3_ACTIONS = {
    "head_bucket": {"s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "head_object": {"s3:GetObject"},
    "get_object": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "complete_multipart_upload": {"s3:PutObject", "s3:AbortMultipartUpload"},
    "delete_object": {"s3:DeleteObject"},
    "delete_objects": {"s3:DeleteObject"},
    "generate_presigned_url": {"s3:GetObject"},
}


def wildcards(statement: Statement) -> list[str]:
    """Return every part of what a statement allows that ends in, or is, a wildcard."""
    found = [arn for arn in statement.arns if "*" in arn]
    found += [f"action {action}" for action in statement.actions if "*" in action]
    return (
        found
        + (["NotResource"] if "NotResource" in statement.body else [])
        + (["NotAction"] if "NotAction" in statement.body else [])
    )


def test_every_wildcard_has_a_reason_and_every_reason_a_wildcard() -> None:
    unused = dict(WILDCARDS)
    for statement in ALLOWING:
        for wildcard in wildcards(statement):
            known = next(
                (
                    key
                    for key in WILDCARDS
                    if key[0] == statement.place and (wildcard == key[1] or (key[1] != "*" and wildcard.endswith(key[1])))
                ),
                None,
            )
            assert known is not None, f"{statement.place} allows {wildcard}, and tests/infra/exceptions.py has no reason for it"
            unused.pop(known, None)
    assert not unused, "exceptions that are no longer needed"


def test_a_wildcard_without_a_reason_is_found() -> None:
    statement = Statement(
        "roles.yaml: X", {"Effect": "Allow", "Action": ["s3:*", "s3:GetObject"], "Resource": ["*", {"Fn::Sub": "arn:x:${Y}/*"}]}
    )
    assert wildcards(statement) == ["*", "arn:x:${Y}/*", "action s3:*"]


def test_only_services_that_take_no_resource_are_allowed_all_of_them() -> None:
    everywhere = {action for statement in ALLOWING if "*" in statement.arns for action in statement.actions}
    assert everywhere == {
        "batch:DescribeJobs",
        "batch:ListJobs",
        "cloudwatch:PutMetricData",
        "ec2:DescribeTags",
        "ecr:GetAuthorizationToken",
        "ecs:DiscoverPollEndpoint",
        "logs:DescribeLogGroups",
        "s3:GetAccountPublicAccessBlock",
    }


@pytest.mark.parametrize("statement", [found for found in ALLOWING if found.trust], ids=lambda statement: statement.place)
def test_roles_are_taken_by_named_services_and_roles_only(statement: Statement) -> None:
    principals = statement.body["Principal"]
    assert principals != "*"
    for kind, names in principals.items():
        for name in flat(names):
            assert name != "*"
            assert kind == "Service" or name == {"Fn::GetAtt": ["AirflowRole", "Arn"]}


def test_services_that_act_for_many_accounts_are_held_to_ours() -> None:
    for statement in ALLOWING:
        services = flat(statement.body.get("Principal", {}).get("Service", []))
        # EC2 takes a role on behalf of an instance profile, pods by an association of their cluster: both are of this account.
        if any(service not in ("ec2.amazonaws.com", "pods.eks.amazonaws.com") for service in services):
            assert "aws:SourceAccount" in json.dumps(statement.body["Condition"]), statement.place


def test_an_upload_client_can_write_parts_and_nothing_else() -> None:
    allowed = [found for found in ALLOWING if found.place.startswith("roles.yaml: UploadRole/parts")]
    assert [(found.actions, found.arns) for found in allowed] == [
        (["s3:PutObject", "s3:AbortMultipartUpload"], ["arn:${AWS::Partition}:s3:::${UploadBucket}/uploads/*/parts/*"])
    ]


def test_the_worker_may_do_what_its_object_store_calls_and_nothing_else() -> None:
    source = "".join((ROOT / "include/media_store" / name).read_text() for name in ("objects.py", "client.py"))
    called = {name for name in S3_ACTIONS if name in source}
    assert called == set(S3_ACTIONS), "the table of this test is out of date"
    wanted = set.union(*(S3_ACTIONS[name] for name in called))
    allowed = {action for found in ALLOWING if found.place.startswith("roles.yaml: JobRole/objects") for action in found.actions}
    assert allowed == wanted


def test_airflow_may_do_with_dropped_objects_and_their_queue_what_ingest_calls() -> None:
    inbox = (ROOT / "include/media_store/inbox.py").read_text()
    tags = {"s3:GetObjectTagging": "get_object_tagging", "s3:PutObjectTagging": "put_object_tagging"}
    assert allowed_in("AirflowRole/objects/Tags") == {action for action, call in tags.items() if f".{call}(" in inbox}
    queues = (ROOT / "include/media_store/queues.py").read_text()
    calls = {
        "sqs:ReceiveMessage": "receive_message",
        "sqs:DeleteMessage": "delete_message",
        "sqs:SendMessage": "send_message",
        "sqs:GetQueueAttributes": "get_queue_attributes",
        "sqs:GetQueueUrl": "get_queue_url",
    }
    called = {action for action, call in calls.items() if f".{call}(" in queues}
    assert set(re.findall(r"self\._client\.(\w+)\(", queues)) == {calls[action] for action in called}
    assert allowed_in("AirflowRole/events/ReadQueues") == called - {"sqs:SendMessage"}
    (writing,) = (found for found in ALLOWING if found.place == "roles.yaml: AirflowRole/events/WriteQueues")
    # Not to the queue of uploads: nothing of ours writes there.
    assert writing.body["Resource"] == [{"Ref": "IngestQueueArn"}, {"Ref": "IngestDeadLettersArn"}]


def test_the_manual_for_an_airflow_of_ones_own_names_every_right_that_its_role_wants() -> None:
    manual = "".join((ROOT / "docs" / name).read_text() for name in ("operations.md", "ingest.md"))
    given = [found for found in ALLOWING if re.match("roles.yaml: (AirflowRole|UploadCredentials)/(?!trust)", found.place)]
    wanted = {action for found in given for action in found.actions}
    assert {"s3:ListMultipartUploadParts", "dynamodb:Query", "sts:AssumeRole"} <= wanted
    assert [action for action in sorted(wanted) if f"{action.partition(':')[2]}`" not in manual] == []


def test_airflow_may_tell_the_topic_of_the_alarms_and_no_other() -> None:
    found = [
        statement for statement in ALLOWING if statement.place.startswith("roles.yaml: ") and "sns:Publish" in statement.actions
    ]
    assert [(one.place, one.actions, one.body["Resource"]) for one in found] == [
        ("roles.yaml: AirflowRole/notices/TellOfRuns", ["sns:Publish"], {"Ref": "AlarmTopicArn"})
    ]
    given = load("reelflow.yaml")["Resources"]["Roles"]["Properties"]["Parameters"]["AlarmTopicArn"]
    assert given == {"Fn::GetAtt": ["Alarms", "Outputs.TopicArn"]}


def allowed_in(place: str) -> set[str]:
    return {action for found in ALLOWING if found.place == f"roles.yaml: {place}" for action in found.actions}


def test_the_agent_of_a_machine_may_do_what_aws_says_it_must() -> None:
    from moto.iam.aws_managed_policies import aws_managed_policies_data  # eight megabytes of text

    theirs = json.loads(aws_managed_policies_data)["AmazonEC2ContainerServiceforEC2Role"]["Document"]["Statement"]
    wanted = {action for found in theirs for action in flat(found["Action"])} - set(NOT_FOR_THE_AGENT)
    ours = {action for found in ALLOWING if found.place.startswith("roles.yaml: InstanceRole/agent") for action in found.actions}
    missing = {
        action
        for action in wanted
        if action not in ours and not (action.endswith("*") and any(a.startswith(action[:-1]) for a in ours))
    }
    assert not missing
    assert ours <= wanted | {action for action in ours if any(a.endswith("*") and action.startswith(a[:-1]) for a in wanted)}


def test_nobody_may_give_itself_more_rights() -> None:
    assert not [found.place for found in ALLOWING for action in found.actions if action.startswith("iam:")]
    assert not [
        str(role)
        for role in resources("AWS::IAM::Role")
        for arn in flat(role.properties.get("ManagedPolicyArns", []))
        if isinstance(arn, str)
    ]
