"""The old name of `python -m robustness`; it says so and ends."""

from core.cli import report_renamed_command

if __name__ == "__main__":
    raise SystemExit(report_renamed_command("explain.adversarial", "robustness"))
