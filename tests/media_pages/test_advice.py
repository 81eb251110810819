"""Every failure that a job can have is told in words, with advice, in both languages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import include.media_pages
from include import errors
from include.media_api.task_errors import Code

ADVICE = Path(include.media_pages.__file__).parent / "static/js/messages/job-advice.js"


def _codes() -> set[str]:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.MediaError)]
    return {cls.code for cls in found} | set(get_args(Code))


def _texts(language: str) -> dict[str, str]:
    blocks = re.findall(r'^  "?([\w-]+)"?: \{\n(.*?)^  \},$', ADVICE.read_text(encoding="utf-8"), re.M | re.S)
    return dict(re.findall(r'^    "([\w.]+)": "(.*)",$', dict(blocks)[language], re.M))


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_each_code_has_words_and_advice(language: str) -> None:
    texts = _texts(language)
    assert _codes() >= {"Unknown", "InvalidInputData", "TargetFailed", "TimeOut"}
    for code in sorted(_codes()):
        assert texts.get(f"job.error.{code}"), f"{code} has no words ({language})"
        assert len(texts.get(f"job.advice.{code}", "")) >= 15, f"{code} has no advice ({language})"


def test_there_is_no_advice_for_codes_that_are_gone() -> None:
    for language in ("en", "zh-CN"):
        assert {key.rpartition(".")[2] for key in _texts(language)} == _codes()


def test_chinese_is_chinese() -> None:
    assert all(re.search(r"[\u4e00-\u9fff]", text) for text in _texts("zh-CN").values())
    assert not any(re.search(r"[\u4e00-\u9fff]", text) for text in _texts("en").values())
