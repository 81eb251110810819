# A Celery worker whose units run on NVIDIA GPUs: Airflow's image, and beside it the Python of worker-cuda, in which units are started.
# Neither knows the other's packages. docker-compose.yaml builds it: docker compose --profile gpu build worker-gpu
ARG AIRFLOW_IMAGE=reelflow/airflow:latest
ARG WORKER_IMAGE=reelflow/worker-cuda:latest

FROM ${WORKER_IMAGE} AS worker

FROM ${AIRFLOW_IMAGE}
COPY --from=worker /opt/venv /opt/worker
ENV MEDIA_WORKER_COMMAND="/opt/worker/bin/python -m include.worker run" \
    MEDIA_SR_BACKEND=cuda \
    MEDIA_SR_MODEL=quality \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
