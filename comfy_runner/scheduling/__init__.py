"""Which server does which job: pure functions of values and moments. Nothing here asks a server, or waits."""
