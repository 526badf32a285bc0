"""The documents, and the scripts that keep their tables and pictures true."""
