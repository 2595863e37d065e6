"""The simulated rack: physics, engines over HTTP, scenarios; a process of its own."""
