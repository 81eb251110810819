"""What a job has cost."""

from __future__ import annotations

import pytest

from include.orchestration.batch.jobs import BatchJob
from include.orchestration.batch.price import dollars
from include.settings import Settings
from include.worker.cost import load_prices

SPOT, ON_DEMAND = "Transcode_queue_Spot", "Transcode_queue_onDemand"


def job(queue: str, **container: object) -> BatchJob:
    """An attempt of ten minutes that lost its machine, and one of twenty."""
    attempts = [{"startedAt": 1_000_000, "stoppedAt": 1_600_000}, {"startedAt": 2_000_000, "stoppedAt": 3_200_000}]
    described = {"jobId": "1", "jobName": "n", "jobQueue": f"arn:aws:batch:x:1:job-queue/{queue}", "status": "SUCCEEDED"}
    return BatchJob.of(described | {"attempts": attempts, "container": container})


def settings(**instances: str) -> Settings:
    return Settings(_env_file=None, batch_instances=instances)


def test_lost_attempts_cost_too() -> None:
    assert job(SPOT).machine_seconds == 1800


def test_half_an_hour_on_demand_costs_half_the_hour() -> None:
    price = load_prices().instances["c6i.xlarge"].on_demand
    assert dollars(job(ON_DEMAND), settings(**{ON_DEMAND: "c6i.xlarge"})) == pytest.approx(price / 2)


def test_a_job_costs_its_share_of_the_machine_and_no_more_than_all_of_it() -> None:
    price = load_prices().instances["c6i.xlarge"].on_demand
    one = job(ON_DEMAND, resourceRequirements=[{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}])
    assert dollars(one, settings(**{ON_DEMAND: "c6i.xlarge"})) == pytest.approx(price / 2 / 4)
    assert dollars(job(ON_DEMAND, vcpus=16), settings(**{ON_DEMAND: "c6i.xlarge"})) == pytest.approx(price / 2)


def test_spot_costs_the_share_that_the_table_assumes() -> None:
    prices = load_prices()
    found = dollars(job(SPOT), settings(**{SPOT: "inf1.xlarge"}))
    assert found == pytest.approx(prices.instances["inf1.xlarge"].on_demand * prices.assumed_spot_share / 2)


def test_without_an_instance_or_its_price_nothing_is_guessed(caplog: pytest.LogCaptureFixture) -> None:
    assert dollars(job(SPOT), settings()) is None
    assert dollars(job(SPOT), settings(**{SPOT: "x9.huge"})) is None
    assert "no price of x9.huge" in caplog.text
