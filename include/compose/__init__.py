"""What the services of docker-compose.yaml run beside Airflow itself: set-up, health checks, and AWS without AWS."""
