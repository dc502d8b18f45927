"""Command lines are stored without credentials."""

import pytest

from albench.runs.command_line import command_line, told_to_workers

SECRET = "hunter2"
TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (["--token", SECRET], ["--token", "***"]),
        (["--api-key", SECRET, "--seed", "1"], ["--api-key", "***", "--seed", "1"]),
        (["--wandb_api_key", SECRET], ["--wandb_api_key", "***"]),
        ([f"--password={SECRET}"], ["--password=***"]),
        (["--set", f"logger.secret={SECRET}"], ["--set", "logger.secret=***"]),
        (["--set", f"data.key={SECRET}"], ["--set", "data.key=***"]),
        ([f"WANDB_API_KEY={SECRET}", "run"], ["WANDB_API_KEY=***", "run"]),
        ([f"AWS_SECRET_ACCESS_KEY={SECRET}"], ["AWS_SECRET_ACCESS_KEY=***"]),
        (["-H", f"Authorization: Bearer {SECRET}"], ["-H", "Authorization: ***"]),
        ([f"s3://user:{SECRET}@host/bucket/runs"], ["s3://***@host/bucket/runs"]),
        ([f"https://{SECRET}@host/runs"], ["https://***@host/runs"]),
        ([f"https://host/runs?a=1&sig={SECRET}&b=2"], ["https://host/runs?a=1&sig=***&b=2"]),
        (["--note", f"hf_{SECRET * 3}"], ["--note", "***"]),
        (["--note", f"ghp_{SECRET * 3}"], ["--note", "***"]),
        (["--note", TOKEN], ["--note", "***"]),
    ],
)
def test_credentials_are_left_out(given, stored):
    assert command_line(["albench", *given]) == ("albench", *stored)


@pytest.mark.parametrize(
    "argument",
    [
        "--strategy",
        "entropy",
        "--set",
        "training.epochs=30",
        "protocol.split=[4,1,1]",
        "data.root=/data/monkey/keyboard",
        "strategy.passes=10",
        "runs/phantom/entropy/seed-0-1a2b3c4d",
        "--keep-weights",
        "s3://bucket/runs?endpoint_override=http://host:9000",
        "a-long-name-of-a-folder-of-runs-2026-11-27-with-words",
        "plugins/authors.py:Author",
    ],
)
def test_all_else_is_kept(argument):
    assert command_line([argument]) == (argument,)


def test_a_worker_on_ray_has_the_command_line_of_its_suite(monkeypatch):
    monkeypatch.setattr("sys.argv", ["albench", "bench", "menu", "--token", SECRET])
    for name, value in told_to_workers().items():
        monkeypatch.setenv(name, value)
        assert SECRET not in value
    monkeypatch.setattr("sys.argv", ["albench", "run"])
    assert command_line() == ("albench", "run")
    monkeypatch.setattr("sys.argv", ["/opt/ray/_private/workers/default_worker.py", "--node-ip-address=10.0.0.7"])
    assert command_line() == ("albench", "bench", "menu", "--token", "***")
