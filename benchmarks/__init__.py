"""What the documents claim, measured: each prints the machine, the versions and a table."""
