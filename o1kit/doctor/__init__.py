"""`o1kit doctor`: is this machine, and this run, in order? What may hang or crash is tried in processes of its own."""
