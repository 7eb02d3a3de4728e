"""What agents do with runs: an MCP server whose tools work below one folder (docs/agents.md)."""
