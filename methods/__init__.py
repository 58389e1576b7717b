"""Ways of adapting a backbone. They know nothing of data, schedules or reports."""
