"""What holds for every resource of its kind: encryption, TLS, nothing public, an end to everything."""

from __future__ import annotations

import re
from email import message_from_string
from typing import Any, get_args

import pytest
import yaml

from include.settings import Settings, UnitKind
from tests.infra.exceptions import UNENCRYPTED
from tests.infra.templates import INFRA, TEMPLATES, Resource, flat, load, resources

BUCKETS = list(resources("AWS::S3::Bucket"))
QUEUES = list(resources("AWS::SQS::Queue"))
TABLES = list(resources("AWS::DynamoDB::Table"))
ENVIRONMENTS = list(resources("AWS::Batch::ComputeEnvironment"))
(DEFINITION,) = resources("AWS::Batch::JobDefinition")


def denies_plain_text(policies: list[Resource], target: str, field: str) -> bool:
    """Tell whether a policy on ``target`` denies everything that does not come over TLS."""
    for policy in policies:
        if {"Ref": target} not in flat(policy.properties[field]):
            continue
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            everybody = statement["Effect"] == "Deny" and statement["Principal"] == "*"
            if everybody and statement.get("Condition") == {"Bool": {"aws:SecureTransport": False}}:
                return True
    return False


@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_a_bucket_is_encrypted_private_and_tls_only(bucket: Resource) -> None:
    encryption = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption[0]["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
    assert set(bucket.properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket.properties["PublicAccessBlockConfiguration"]) == 4
    assert bucket.properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert denies_plain_text(list(resources("AWS::S3::BucketPolicy")), bucket.name, "Bucket")


@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_a_bucket_ends_multipart_uploads_that_nobody_completes(bucket: Resource) -> None:
    rules = bucket.properties["LifecycleConfiguration"]["Rules"]
    assert [
        rule
        for rule in rules
        if "AbortIncompleteMultipartUpload" in rule and "Prefix" not in rule and rule["Status"] == "Enabled"
    ]


@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_a_bucket_lets_pages_see_etags_and_tells_a_queue_of_objects(bucket: Resource) -> None:
    assert all("ETag" in rule["ExposedHeaders"] for rule in bucket.properties["CorsConfiguration"]["CorsRules"])
    (told,) = bucket.properties["NotificationConfiguration"]["QueueConfigurations"]
    queue = told["Queue"]["Fn::GetAtt"][0]
    # S3 tries the queue when the notification is made: its policy has to be there.
    policy = load(bucket.template)["Resources"][bucket.whole["DependsOn"]]
    assert policy["Properties"]["Queues"] == [{"Ref": queue}]
    (allowed,) = (found for found in policy["Properties"]["PolicyDocument"]["Statement"] if found["Effect"] == "Allow")
    assert allowed["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::Sub"].endswith(bucket.properties["BucketName"]["Fn::Sub"])


def rules_of(name: str) -> dict[str, Any]:
    (bucket,) = (found for found in BUCKETS if found.name == name)
    return {rule["Id"]: rule for rule in bucket.properties["LifecycleConfiguration"]["Rules"]}


def test_work_files_and_parts_of_uploads_go_and_nothing_else_does() -> None:
    media, uploads = rules_of("MediaBucket"), rules_of("UploadBucket")
    work = {
        "work-files": ("jobs/", "WorkDays"),
        "requests": ("requests/", "WorkDays"),
        "starts": ("starts/", "WorkDays"),
        "claims": ("ingest/", "ClaimDays"),
        "task-logs": ("logs/", "LogDays"),
    }
    for name, (folder, days) in work.items():
        assert media[name]["Prefix"] == {"Fn::Sub": f"${{WorkPrefix}}{folder}"}
        assert media[name]["ExpirationInDays"] == {"Ref": days}
    assert uploads["upload-parts"]["Prefix"] == "uploads/"
    expiring = [name for name, rule in (media | uploads).items() if "ExpirationInDays" in rule]
    assert expiring == [*work, "upload-parts"]


def test_a_claim_outlives_its_object_and_every_folder_of_the_work_prefix_has_its_rule() -> None:
    for template in ("reelflow.yaml", "storage.yaml"):
        parameters = load(template)["Parameters"]
        assert parameters["ClaimDays"]["Default"] >= 100 * parameters["WorkDays"]["Default"], template
    # Where several rules hold for an object, the shortest time does.
    folders = {rule["Prefix"]["Fn::Sub"] for rule in rules_of("MediaBucket").values() if isinstance(rule.get("Prefix"), dict)}
    code = [path.read_text() for path in (INFRA.parent / "include").rglob("*.py")]
    used = {found for text in code for found in re.findall(r"work_prefix\}(\w+/)", text)}
    # Airflow's own
    used |= {
        f"{found}/" for found in re.findall(r"s3://\$\{Bucket\}/\$\{WorkPrefix\}(\w+)", (INFRA / "reelflow.yaml").read_text())
    }
    assert folders == {f"${{WorkPrefix}}{folder}" for folder in used}


@pytest.mark.parametrize("queue", QUEUES, ids=str)
def test_a_queue_is_encrypted_and_gives_up_at_last(queue: Resource) -> None:
    assert queue.properties["SqsManagedSseEnabled"] is True
    if "DeadLetters" in queue.name:
        assert queue.properties["MessageRetentionPeriod"] == 14 * 86400
    else:
        assert queue.properties["RedrivePolicy"]["maxReceiveCount"] == 5
        assert denies_plain_text(list(resources("AWS::SQS::QueuePolicy")), queue.name, "Queues")


def test_a_backlog_may_wait_longer_than_dead_letters_need_and_the_folders_of_the_settings_are_told_of() -> None:
    queues = {queue.name: queue.properties for queue in QUEUES}
    settings = Settings(_env_file=None)
    assert queues["IngestQueue"]["DelaySeconds"] == settings.ingest_settle_seconds
    assert queues["IngestQueue"]["MessageRetentionPeriod"] < queues["IngestDeadLetters"]["MessageRetentionPeriod"]
    told = load("reelflow.yaml")["Parameters"]["IngestPrefix"]["Default"]
    assert all(prefix.startswith(told) for prefix in settings.ingest_prefixes)


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_table_is_paid_by_request_and_can_be_had_back(table: Resource) -> None:
    assert table.properties["BillingMode"] == "PAY_PER_REQUEST"
    assert table.properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_nonces_end_by_themselves() -> None:
    (nonces,) = (table for table in TABLES if table.name == "NoncesTable")
    assert nonces.properties["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_what_cannot_be_made_again_outlives_the_stack() -> None:
    for resource in (*BUCKETS, *TABLES):
        if resource.name != "NoncesTable":
            assert (resource.whole["DeletionPolicy"], resource.whole["UpdateReplacePolicy"]) == ("Retain", "Retain"), resource


def test_logs_are_not_kept_for_ever() -> None:
    for group in resources("AWS::Logs::LogGroup"):
        assert "RetentionInDays" in group.properties, group


def test_topics_are_encrypted_or_there_is_a_reason() -> None:
    found = {str(topic) for topic in resources("AWS::SNS::Topic") if "KmsMasterKeyId" not in topic.properties}
    assert found == set(UNENCRYPTED)


def test_volumes_are_encrypted_and_containers_cannot_reach_the_machines_role() -> None:
    for template in resources("AWS::EC2::LaunchTemplate"):
        data = template.properties["LaunchTemplateData"]
        assert [mapping["Ebs"]["Encrypted"] for mapping in data["BlockDeviceMappings"]] == [True]
        assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_a_machine_that_spot_takes_back_is_given_no_new_job() -> None:
    for template in resources("AWS::EC2::LaunchTemplate"):
        # Batch adds its own part to it, and takes nothing else.
        data = message_from_string(template.properties["LaunchTemplateData"]["UserData"]["Fn::Base64"])
        assert data.get_content_type() == "multipart/mixed"
        assert not data.defects
        (script,) = data.get_payload()
        assert script.get_content_type() == "text/x-shellscript"
        lines = script.get_payload().strip().splitlines()
        assert lines == ["#!/bin/bash", "echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config"]


def test_machines_take_no_connections() -> None:
    for group in resources("AWS::EC2::SecurityGroup"):
        assert "SecurityGroupIngress" not in group.properties, group
    for rule in resources("AWS::EC2::SecurityGroupIngress"):
        assert rule.properties["SourceSecurityGroupId"] == rule.properties["GroupId"], rule


def test_images_are_scanned_and_a_tag_keeps_its_meaning() -> None:
    repositories = list(resources("AWS::ECR::Repository"))
    assert {found.properties["RepositoryName"]["Fn::Sub"] for found in repositories} == {
        f"${{Prefix}}/{name}" for name in ("airflow", "worker-cpu", "worker-inf1", "worker-inf2", "worker-cuda")
    }
    for repository in repositories:
        assert repository.properties["ImageScanningConfiguration"] == {"ScanOnPush": True}
        assert repository.properties["ImageTagMutability"] == "IMMUTABLE"
        assert "LifecyclePolicy" in repository.properties


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
def test_an_environment_costs_nothing_while_there_is_nothing_to_do(environment: Resource) -> None:
    compute = environment.properties["ComputeResources"]
    assert compute["MinvCpus"] == 0
    wanted = {"EC2": "BEST_FIT_PROGRESSIVE", "SPOT": "SPOT_CAPACITY_OPTIMIZED"}
    assert compute["AllocationStrategy"] == wanted[compute["Type"]]
    assert compute["LaunchTemplate"]["LaunchTemplateId"] == {"Ref": "LaunchTemplate"}


def test_only_a_machine_that_was_taken_away_is_a_reason_to_try_again() -> None:
    assert DEFINITION.properties["RetryStrategy"] == {
        "Attempts": 3,
        "EvaluateOnExit": [{"OnStatusReason": "Host EC2*", "Action": "RETRY"}, {"OnReason": "*", "Action": "EXIT"}],
    }


def test_names_and_sizes_are_those_that_clients_of_the_original_know() -> None:
    root = load("reelflow.yaml")
    fleet = root["Resources"]["SuperResolution"]["Properties"]["Parameters"]
    assert fleet["JobDefinitionName"] == "SuperResolution"
    assert (fleet["OnDemandQueueName"], fleet["SpotQueueName"]) == (
        "SuperResolution_queue_onDemand",
        "SuperResolution_queue_Spot",
    )
    assert (fleet["Vcpus"], fleet["MemoryMiB"], fleet["NeuronDevice"]) == (4, 7000, "yes")
    assert root["Parameters"]["SuperResolutionInstanceTypes"]["Default"] == "inf1.xlarge"
    assert root["Parameters"]["SuperResolutionMaxvCpus"]["Default"] == 16
    devices = DEFINITION.properties["ContainerProperties"]["LinuxParameters"]["Devices"]["Fn::If"][1]
    assert [device["HostPath"] for device in devices] == ["/dev/neuron0"]


def test_queues_and_definitions_are_those_of_the_settings() -> None:
    defaults = {f"MEDIA_{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    named = {
        "MEDIA_BATCH_SR_QUEUE_SPOT": ("SuperResolution", "SpotQueueName"),
        "MEDIA_BATCH_SR_QUEUE_ON_DEMAND": ("SuperResolution", "OnDemandQueueName"),
        "MEDIA_BATCH_SR_JOB_DEFINITION": ("SuperResolution", "JobDefinitionName"),
        "MEDIA_BATCH_CPU_QUEUE_SPOT": ("Transcode", "SpotQueueName"),
        "MEDIA_BATCH_CPU_QUEUE_ON_DEMAND": ("Transcode", "OnDemandQueueName"),
        "MEDIA_BATCH_CPU_JOB_DEFINITION": ("Transcode", "JobDefinitionName"),
    }
    parameters = {
        name: load("reelflow.yaml")["Resources"][name]["Properties"]["Parameters"] for name in ("SuperResolution", "Transcode")
    }
    assert {setting: parameters[fleet][name] for setting, (fleet, name) in named.items()} == {
        name: defaults[name] for name in named
    }
    assert load("reelflow.yaml")["Resources"]["BatchLogs"]["Properties"]["LogGroupName"] == defaults["MEDIA_BATCH_LOG_GROUP"]


def test_every_setting_that_a_template_names_is_one() -> None:
    known = {f"MEDIA_{name.upper()}" for name in Settings.model_fields}
    for template in TEMPLATES:
        assert set(re.findall(r"MEDIA_[A-Z0-9_]+", (INFRA / template).read_text())) <= known, template


def test_every_parameter_of_a_nested_template_is_given_or_has_a_default() -> None:
    for stack in resources("AWS::CloudFormation::Stack"):
        wanted = load(stack.properties["TemplateURL"]).get("Parameters", {})
        given = set(stack.properties.get("Parameters", {}))
        assert given <= set(wanted), stack
        assert {name for name, body in wanted.items() if "Default" not in body} <= given, stack


def test_the_manual_names_parameters_and_outputs_that_there_are() -> None:
    text = (INFRA.parent / "docs/aws.md").read_text()
    known = {name for template in ("reelflow.yaml", "mwaa/environment.yaml") for name in load(template)["Parameters"]}
    commands = re.findall(r"--parameter-overrides (.*?)\n(?!\s{4})", text, re.DOTALL)
    assert len(commands) == 2
    assert {name for command in commands for name in re.findall(r"(\w+)=", command)} <= known
    outputs = set(load("reelflow.yaml")["Outputs"])
    assert set(re.findall(r"OutputKey=='(\w+)'", text)) | set(re.findall(r"\$\(out (\w+)\)", text)) <= outputs


def test_logs_of_tasks_outlive_the_pods_that_wrote_them() -> None:
    values = yaml.safe_load((INFRA / "helm/values.yaml").read_text())
    logging = values["config"]["logging"]
    assert logging["remote_logging"] == "True" or values["logs"]["persistence"]["enabled"]
    variables = {variable["name"]: variable["value"] for variable in values["env"]}
    assert f"AIRFLOW_CONN_{logging['remote_log_conn_id'].upper()}" in variables
    assert "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER=s3://" in (INFRA / "reelflow.yaml").read_text()


def test_the_manual_names_what_stays_on_airflows_workers() -> None:
    lines = load("reelflow.yaml")["Outputs"]["Environment"]["Value"]["Fn::Sub"][0].splitlines()
    (kinds,) = (value.split(",") for name, _, value in (line.partition("=") for line in lines) if name == "MEDIA_BATCH_UNITS")
    rest = set(get_args(UnitKind)) - set(kinds)
    assert set(kinds) <= set(get_args(UnitKind))
    (row,) = re.findall(r"^\| `MEDIA_BATCH_UNITS` \| (.*) \|$", (INFRA.parent / "docs/aws.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`([a-z]+)`", row)) == rest


def test_the_manual_names_every_pool() -> None:
    text = (INFRA.parent / "docs/aws.md").read_text()
    assert [name for name in Settings(_env_file=None).pools if f"`{name}`" not in text] == []


def test_every_part_of_airflow_that_speaks_to_aws_takes_its_role() -> None:
    (accounts,) = re.findall(
        r"for account in (.+); do\n.*create-pod-identity-association", (INFRA.parent / "docs/aws.md").read_text()
    )
    # They submit jobs, wait for them, answer the APIs, and tell how runs end.
    assert set(accounts.split()) == {"worker", "triggerer", "api-server", "dag-processor"}


def test_the_chart_mounts_no_local_settings_over_those_in_the_plugin_folder() -> None:
    values = yaml.safe_load((INFRA / "helm/values.yaml").read_text())
    assert values["airflowLocalSettings"] == ""
    assert (INFRA.parent / "plugins/airflow_local_settings.py").exists()
    assert values["config"]["core"]["plugins_folder"].endswith("/plugins")


def test_the_chart_gets_settings_and_secrets_under_the_names_of_the_manual() -> None:
    values = yaml.safe_load((INFRA / "helm/values.yaml").read_text())
    text = (INFRA.parent / "docs/aws.md").read_text()
    wanted = [source[kind]["name"] for source in yaml.safe_load(values["extraEnvFrom"]) for kind in source]
    wanted += [values["fernetKeySecretName"], values["apiSecretKeySecretName"], values["jwtSecretName"], *values["data"].values()]
    assert len(wanted) == 7
    for name in wanted:
        assert re.search(rf"kubectl create (configmap|secret generic) {name} ", text), name
