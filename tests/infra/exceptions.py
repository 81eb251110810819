"""Wildcards in what policies allow, each with the reason why it has to be one. The test fails on those that are not here, and on
those here that are no longer there."""

from __future__ import annotations

# (statement, "action" or resource) -> reason
WILDCARDS = {
    ("roles.yaml: AirflowRole/objects/Objects", "${MediaBucket}/*"): (
        "every object of our own bucket: keys are the users' choice"
    ),
    ("roles.yaml: AirflowRole/objects/Objects", "${UploadBucket}/*"): "every object of our own bucket",
    ("roles.yaml: AirflowRole/objects/Tags", "${MediaBucket}/*"): "every object of our own bucket",
    ("roles.yaml: JobRole/objects/Objects", "${MediaBucket}/*"): ("every object of our own bucket: keys are the users' choice"),
    ("roles.yaml: AirflowRole/jobs/Submit", "job-queue/SuperResolution*"): ("our queues, those for other machines included"),
    ("roles.yaml: AirflowRole/jobs/Submit", "job-queue/Transcode*"): "our queues",
    ("roles.yaml: AirflowRole/jobs/Submit", "job-definition/SuperResolution*"): ("our definitions in all their revisions"),
    ("roles.yaml: AirflowRole/jobs/Submit", "job-definition/Transcode*"): "our definitions in all their revisions",
    ("roles.yaml: AirflowRole/jobs/TagAndEnd", "job/*"): ("a job's ARN has an id that Batch draws; this account and region only"),
    ("roles.yaml: AirflowRole/jobs/Look", "*"): "DescribeJobs and ListJobs take no resource",
    ("roles.yaml: AirflowRole/jobs/ReadLogs", "log-group:${LogGroup}:log-stream:*"): ("streams are named by ECS task ids"),
    ("roles.yaml: UploadRole/parts/WriteParts", "uploads/*/parts/*"): ("the upper bound; each session's policy names one upload"),
    ("roles.yaml: ExecutionRole/start/RegistryLogin", "*"): "GetAuthorizationToken takes no resource",
    ("roles.yaml: ExecutionRole/start/Pull", "repository/${Prefix}/*"): "our repositories, one per image",
    ("roles.yaml: ExecutionRole/start/Log", "log-group:${LogGroup}:log-stream:*"): ("streams are named by ECS task ids"),
    ("roles.yaml: InstanceRole/agent/Register", "cluster/*"): "Batch makes the clusters and draws their names",
    ("roles.yaml: InstanceRole/agent/Serve", "container-instance/*"): ("instances are registered under ids that ECS draws"),
    ("roles.yaml: InstanceRole/agent/Serve", "task/*"): "tasks have ids that ECS draws",
    (
        "roles.yaml: InstanceRole/agent/TagAtRegistration",
        "container-instance/*",
    ): "instances are registered under ids that ECS draws",
    (
        "roles.yaml: InstanceRole/agent/FindEndpointAndLogin",
        "*",
    ): "DiscoverPollEndpoint, GetAuthorizationToken and DescribeTags take no resource",
    ("roles.yaml: InstanceRole/agent/Pull", "repository/${Prefix}/*"): "our repositories, one per image",
    ("roles.yaml: InstanceRole/agent/Log", "log-group:${LogGroup}:log-stream:*"): "streams are named by ECS task ids",
    (
        "mwaa/environment.yaml: EnvironmentPolicy/ReadCode",
        "${BucketName}/*",
    ): "every object of the bucket that holds the environment's code",
    ("mwaa/environment.yaml: EnvironmentPolicy/PublicAccessOfAccount", "*"): ("GetAccountPublicAccessBlock takes no resource"),
    (
        "mwaa/environment.yaml: EnvironmentPolicy/TaskLogs",
        "log-group:airflow-${Name}-*",
    ): "MWAA makes a log group for each part of the environment",
    ("mwaa/environment.yaml: EnvironmentPolicy/FindLogs", "*"): "DescribeLogGroups is asked for all groups",
    ("mwaa/environment.yaml: EnvironmentPolicy/Metrics", "*"): "PutMetricData takes no resource",
    ("mwaa/environment.yaml: EnvironmentPolicy/CeleryQueues", ":*:airflow-celery-*"): (
        "MWAA's queues are in an account of AWS's"
    ),
    (
        "mwaa/environment.yaml: EnvironmentPolicy/KeyOfCeleryQueues",
        "NotResource",
    ): "the key of those queues is in that account; ours are excluded",
}

# What AWS's own policy for the ECS agent allows and ours does not, and why.
NOT_FOR_THE_AGENT = {
    "ecs:CreateCluster": "Batch makes the clusters",
}

UNENCRYPTED = {
    "alarms.yaml: Topic": (
        "alarms hold names of queues and sums; with the key of AWS CloudWatch could not send, one of ours costs a dollar a month"
    ),
}
