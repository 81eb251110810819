"""Costs by golden numbers, computed by hand beside each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.worker import cost
from include.worker.__main__ import main as worker
from include.worker.cost import load_prices, load_speeds, main
from include.worker.estimate import Option, Speed, Video, estimate
from include.worker.measurement import Report, speed_of_report


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def option(document: dict[str, Any], instance: str) -> dict[str, Any]:
    (found,) = (found for found in document["options"] if found["instance"] == instance)
    return dict(found)


def test_the_originals_cost_model_is_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    # 640 x 360 = 230,400 pixels; 30 x 60 = 1,800 frames; 3.0e-6 s each: 1,244.16 s of an inf1.xlarge at 0.228 an hour.
    found = option(ask(capsys, "--size", "640x360", "--fps", "30"), "inf1.xlarge")
    assert found["machine_seconds"] == pytest.approx(1244.16)
    assert found["on_demand"] == pytest.approx(0.0787968)
    assert found["status"] == "given"


def test_a_measured_speed_is_used_in_proportion_to_processors(capsys: pytest.CaptureFixture[str]) -> None:
    # 300 frames in 5.19 s on two processors: 1,800 frames in 31.14 s, on four in 15.57 s; 0.085 and 0.17 an hour.
    document = ask(capsys, "--size", "640x360", "--fps", "30")
    two, four = option(document, "c6i.large"), option(document, "c6i.xlarge")
    assert (two["machine_seconds"], four["machine_seconds"]) == (pytest.approx(31.14), pytest.approx(15.57))
    assert two["on_demand"] == pytest.approx(four["on_demand"]) == pytest.approx(31.14 * 0.085 / 3600)
    assert two["on_demand"] == pytest.approx(0.00073525)


def test_a_machine_that_was_not_the_one_measured_is_called_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    found = option(ask(capsys, "--size", "640x360"), "c7i.xlarge")
    assert found["status"] == "assumed"
    assert any("as fast as" in text for text in found["assumptions"])
    assert not any("time grows" in text for text in found["assumptions"])


def test_another_size_than_the_measured_one_is_an_assumption(capsys: pytest.CaptureFixture[str]) -> None:
    # Four times the pixels, half the frames: twice the seconds.
    found = option(ask(capsys, "--size", "1280x720", "--fps", "15"), "c6i.large")
    assert found["machine_seconds"] == pytest.approx(62.28)
    assert any("time grows" in text for text in found["assumptions"])


def test_rates_may_be_fractions(capsys: pytest.CaptureFixture[str]) -> None:
    # 30,000 / 1,001 x 60 = 1,798.2018 frames of 0.0173 s.
    assert option(ask(capsys, "--fps", "30000/1001"), "c6i.large")["machine_seconds"] == pytest.approx(31.108891, abs=1e-5)


def test_what_was_not_measured_has_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    document = ask(capsys)
    assert set(document["unmeasured"]) == {"inf2.xlarge", "g4dn.xlarge", "g5.xlarge"}
    # Only the original's model, which names no scale, knows a four-fold enlargement.
    assert {found["instance"] for found in ask(capsys, "--scale", "4")["options"]} == {"inf1.xlarge"}
    assert {found["instance"] for found in ask(capsys, "--model", "quality")["options"]} == {"inf1.xlarge"}


def test_a_spot_price_that_nobody_gave_is_a_share_and_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = option(ask(capsys), "c6i.large")
    assert found["spot"] == pytest.approx(0.4 * found["on_demand"])
    assert found["spot_assumed"]
    own = tmp_path / "prices.yaml"
    own.write_text("date: 2026-11-20\ninstances: {c6i.large: {kind: cpu, vcpus: 2, on_demand: 0.1, spot: 0.036}}\n")
    document = ask(capsys, "--prices", str(own))
    found = option(document, "c6i.large")
    # 31.14 s at 0.036 and 0.1 an hour.
    assert (found["spot"], found["on_demand"]) == (pytest.approx(0.0003114), pytest.approx(0.000865))
    assert not found["spot_assumed"]
    assert document["prices"]["date"] == "2026-11-20"
    assert option(document, "inf1.xlarge")["on_demand"] == pytest.approx(0.0787968), "the others are still there"


def test_a_table_of_ones_own_says_its_date(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text("instances: {}\n")
    assert main(["--prices", str(own)]) == 2
    assert "date" in capsys.readouterr().err


def test_what_a_unit_takes_beside_its_work_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    # Two units a minute, 45 s each, on top of 31.14 s.
    document = ask(capsys, "--segment-seconds", "30", "--overhead-seconds", "45")
    assert option(document, "c6i.large")["machine_seconds"] == pytest.approx(121.14)


def test_storage_and_requests_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    # 8 Mbit/s x 60 s = 60 MB = 0.06 GB at 0.023 a month.
    storage = ask(capsys, "--output-bit-rate", "8e6")["storage"]
    assert storage["per_month"] == pytest.approx(0.00138)
    # 1 + 2/60 units: 6.2 reads; writes: 2.0667, 60e6 / 16 MiB = 3.5763 parts, 15.57 s / 5 s = 3.114 (the shortest option).
    assert storage["reads"] == pytest.approx(6.2)
    assert storage["writes"] == pytest.approx(2.0667 + 3.5763 + 3.114, abs=1e-3)
    assert storage["requests"] == pytest.approx((6.2 * 0.0004 + 8.757 * 0.005) / 1000, rel=1e-4)


def test_transcoding_has_its_own_speeds(capsys: pytest.CaptureFixture[str]) -> None:
    # 1,440 frames of 1080p in 79.6 s: a minute at 24 frames/s takes 79.6 s.
    document = ask(capsys, "--work", "transcode", "--size", "1920x1080", "--fps", "24")
    assert option(document, "c6i.large")["machine_seconds"] == pytest.approx(79.6)
    assert not [found for found in document["options"] if found["instance"] == "inf1.xlarge"]


REPORT = {
    "job_id": "abc",
    "request": {"scale": 4, "model": "fast"},
    "source": {"probe": {"video": {"width": 320, "height": 180}}},
    "segments": [{"frames": 100}, {"frames": 50}],
    "costs": {"wall_seconds": 30.0},
}


def test_the_report_of_a_run_is_a_measurement(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(REPORT))
    document = ask(capsys, "--report", str(path), "--on", "g4dn.xlarge", "--scale", "4", "--size", "320x180", "--fps", "25")
    found = option(document, "g4dn.xlarge")
    # 150 frames in 30 s: 1,500 frames in 300 s, at 0.526 an hour.
    assert found["status"] == "measured"
    assert found["machine_seconds"] == pytest.approx(300)
    assert found["on_demand"] == pytest.approx(0.0438333, rel=1e-5)
    assert "g4dn.xlarge" not in document["unmeasured"]


TRANSCODE = {key: value for key, value in REPORT.items() if key != "segments"} | {"frames": 60}


def written(folder: Path, report: Any) -> tuple[str, ...]:
    path = folder / "report.json"
    path.write_text(json.dumps(report))
    return "--report", str(path), "--on", "g4dn.xlarge"


def test_the_report_of_a_transcode_is_one_too() -> None:
    speed = speed_of_report(Report.model_validate(TRANSCODE), "c7i.xlarge", load_prices())
    assert (speed.work, speed.frames, speed.scale) == ("transcode", 60, None)


def test_what_is_not_asked_is_what_the_run_of_the_report_was(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = json.loads(json.dumps(REPORT))
    report["source"]["probe"]["video"]["frame_rate"] = "30000/1001"
    document = ask(capsys, *written(tmp_path, report))
    assert {name: document["video"][name] for name in ("work", "width", "height", "scale", "model")} == {
        "work": "upscale", "width": 320, "height": 180, "scale": 4, "model": "fast"
    }  # fmt: skip
    # 150 frames in 30 s: 30,000 / 1,001 x 60 frames in 359.64 s.
    assert option(document, "g4dn.xlarge")["machine_seconds"] == pytest.approx(359.64, abs=1e-3)
    document = ask(capsys, *written(tmp_path, TRANSCODE))
    assert (document["video"]["work"], document["video"]["fps"]) == ("transcode", 30)
    assert option(document, "g4dn.xlarge")["name"] == "run abc"


def test_another_size_than_the_reports_may_be_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # Four times the pixels, and 1,800 frames: 1,440 s.
    found = option(ask(capsys, *written(tmp_path, REPORT), "--size", "640x360"), "g4dn.xlarge")
    assert found["machine_seconds"] == pytest.approx(1440)


@pytest.mark.parametrize(
    ("report", "arguments", "told"),
    [
        (REPORT, ("--scale", "2"), "--scale 2: the report is of an upscale, scale 4, model fast"),
        (REPORT, ("--model", "quality"), "--model quality: the report is of an upscale, scale 4, model fast"),
        (REPORT, ("--work", "transcode"), "--work transcode: the report is of an upscale"),
        (TRANSCODE, ("--work", "upscale"), "--work upscale: the report is of a transcode"),
        (TRANSCODE, ("--scale", "2"), "--scale 2: the report is of a transcode"),
        (REPORT | {"request": {"scale": 2, "model": None}}, (), "--model"),
    ],
)
def test_a_question_that_the_report_does_not_answer_is_told(
    report: dict[str, Any], arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*written(tmp_path, report), *arguments]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_the_network_of_a_report_that_names_none_is_the_one_that_is_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = REPORT | {"request": {"scale": 2, "model": None}}
    document = ask(capsys, *written(tmp_path, report), "--model", "quality")
    assert option(document, "g4dn.xlarge")["name"] == "run abc"


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ([REPORT], "dictionary"),
        ({}, "job_id"),
        (REPORT | {"source": []}, "source"),
        (REPORT | {"segments": ["a"]}, "segments.0"),
        ({key: value for key, value in REPORT.items() if key != "segments"}, "frames"),
    ],
    ids=["list", "empty", "source", "segments", "neither"],
)
def test_what_is_no_report_is_told_in_a_line(report: Any, told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*written(tmp_path, report)]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("part", ["instances: [a]", "storage: 3", "instances: {c6i.large: 3}"])
def test_what_is_no_table_of_prices_is_told_in_a_line(part: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text(f"date: 2026-01-01\n{part}\n")
    assert main(["--prices", str(own)]) == 2
    captured = capsys.readouterr()
    assert part.partition(":")[0] in captured.err
    assert captured.err.count("\n") == 1


def test_speeds_of_ones_own_are_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "speeds.yaml"
    entry = {"work": "upscale", "name": "ours", "status": "measured", "kind": "inf2", "machine": "inf2.xlarge", "vcpus": 4}
    entry |= {"instance": "inf2.xlarge", "seconds_per_pixel": 1e-7, "source": "a try"}
    path.write_text(yaml.safe_dump({"speeds": [entry]}))
    # 230,400 x 1,800 x 1e-7 = 41.472 s at 0.7582 an hour.
    assert option(ask(capsys, "--speeds", str(path)), "inf2.xlarge")["on_demand"] == pytest.approx(0.00873446, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--size", "640"], "640x360"),
        (["--size", "0x360"], "width"),
        (["--fps", "1/0"], "30000/1001"),
        (["--fps", "many"], "30000/1001"),
        (["--fps", "1e400"], "30000/1001"),
        (["--fps", "-1"], "fps"),
        (["--prices", "/nowhere/prices.yaml"], "prices.yaml"),
        (["--report", "/nowhere/report.json", "--on", "c6i.large"], "report.json"),
        (["--report", "x.json"], "--on"),
    ],
)
def test_a_wrong_question_is_told_in_a_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_an_unknown_instance_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(REPORT))
    assert main(["--report", str(path), "--on", "x9.huge"]) == 2
    assert "x9.huge" in capsys.readouterr().err


def test_a_speed_without_a_figure_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "speeds.yaml"
    path.write_text("speeds: [{work: upscale, name: x, status: measured, kind: cpu, machine: m, vcpus: 2, source: s, frames: 3}]")
    assert main(["--speeds", str(path)]) == 2
    assert "seconds_per_pixel" in capsys.readouterr().err


def test_the_table_tells_what_each_figure_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert worker(["cost", "--size", "640x360"]) == 0
    text = capsys.readouterr().out
    assert "2025-06-30" in text
    assert "check them" in text
    assert "assumed: a processor of the instance" in text
    assert "given: cost model" in text
    assert "inf2.xlarge: not measured" in text
    rows = [line for line in text.splitlines() if line.startswith("  fast, OpenVINO int8")]
    assert rows
    assert all("assumed [" in row for row in rows)


def test_options_are_sorted_by_price() -> None:
    result = estimate(Video(width=640, height=360, fps=30, output_bit_rate=1), load_prices(), load_speeds())
    prices = [found.on_demand for found in result.options]
    assert prices == sorted(prices)
    assert isinstance(result.options[0], Option)


def test_every_built_in_speed_says_where_it_is_from() -> None:
    speeds = load_speeds()
    assert all(isinstance(speed, Speed) and len(speed.source) > 10 for speed in speeds)
    for speed in speeds:
        if speed.status == "measured":
            assert speed.frames, f"{speed.name}: what was measured is frames in seconds"
    assert cost.RATES.is_dir()
