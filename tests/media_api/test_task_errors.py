"""The contract's seven codes, and which of our errors are which."""

from __future__ import annotations

import pytest

from include import errors
from include.errors import MediaError, error_from_document
from include.media_api.task_errors import task_error

# The contract's table, word for word.
CONTRACT = {
    "ParameterError": ("The input parameter is invalid. Please check it.", "输入参数错误，请检查输入参数"),
    "InternalError": ("Internal error happened.", "内部错误"),
    "InputNotSupported": ("The input format is not supported.", "输入的数据格式不支持"),
    "OutputNotSupported": ("The output format is not supported.", "输出的数据格式不支持"),
    "InvalidInputData": (
        "The input data is invalid. Please check your input data.",
        "无效的输入数据，请检查您的输入视频是否是有效",
    ),
    "TimeOut": ("Task time out.", "任务超时"),
    "Unknown": ("Unknown error.", "未知错误"),
}
OURS = {
    errors.ParameterError: "ParameterError",
    errors.RequestError: "ParameterError",
    errors.LimitExceeded: "InvalidInputData",
    errors.NotFound: "InvalidInputData",
    errors.AccessDenied: "InternalError",
    errors.InputNotSupported: "InputNotSupported",
    errors.OutputNotSupported: "OutputNotSupported",
    errors.InvalidInputData: "InvalidInputData",
    errors.InputError: "InvalidInputData",
    errors.InternalError: "InternalError",
    errors.VerificationFailed: "InternalError",
    errors.StorageDenied: "InternalError",
    errors.StorageError: "InternalError",
    errors.ObjectExists: "InternalError",
    errors.TargetFailed: "Unknown",
    errors.TimedOut: "TimeOut",
    errors.Cancelled: "Unknown",
    errors.Conflict: "Unknown",
    errors.MediaError: "Unknown",
}


def test_every_error_of_ours_has_a_code_of_the_contract() -> None:
    known = {name for name in errors.__all__ if name[0].isupper()}
    assert {error.__name__ for error in OURS} == known
    assert set(OURS.values()) == set(CONTRACT)


@pytest.mark.parametrize(("error", "code"), OURS.items(), ids=lambda one: getattr(one, "__name__", one))
def test_an_error_has_the_contracts_words_and_its_own(error: type[MediaError], code: str) -> None:
    raised = error("Frame 7 is missing.")
    told = task_error(raised.to_document())
    english, chinese = CONTRACT[code]
    assert (told.code, told.message, told.message_zh) == (code, f"{english} Frame 7 is missing.", chinese)
    assert told.retryable is raised.retryable


def test_a_code_of_a_later_version_is_ours_to_explain() -> None:
    document = {"code": "SomethingNew", "message": "It broke.", "retryable": False}
    assert type(error_from_document(document)) is errors.InternalError
    assert task_error(document).code == "InternalError"


def test_no_reason_is_an_unknown_one() -> None:
    assert task_error(None).code == "Unknown"
