"""Connection arguments of Airflow's SQLite database; imported by Airflow's configuration, so it imports nothing."""

# SQLite gives up on a locked database after 5 s, which a burst of tasks on a slow disk can exceed.
CONNECT_ARGS = {"timeout": 60}
