# The harness: asks the api about the sample drawings and ends with goldmar's exit code. Goldens come in by a mount.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# --- packages: the lock file and goldmar itself, into a virtual environment without pip -------------------------------
FROM ${BASE_IMAGE} AS packages
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG GOLDMAR_TORCH_INDEX
ARG LOCK=ci/locks/base.txt
ARG GOLDMAR_SOURCE=src/goldmar
COPY ${LOCK} wheelhous[e] /wheels/
COPY ci/torch_index.py compose/install.py /build/
RUN ["python3", "/build/install.py", "/wheels", "/opt/venv"]
COPY ${GOLDMAR_SOURCE} /build/goldmar
RUN ["python3", "/build/install.py", "--source", "/build/goldmar", "/opt/venv"]
COPY compose/batch.py /opt/goldmar/
RUN ["chmod", "-R", "u=rwX,go=rX", "/opt/goldmar"]

# --- the image --------------------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE}
# The group is that of the api, whose token only its group may read.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip* \
 && groupadd --gid 10001 goldmar \
 && useradd --uid 10002 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin batch \
 && install -d -o 10001 -g 10001 -m 0750 /run/goldmar \
 && install -d -o 10002 -g 10001 -m 0700 /work
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/goldmar /opt/goldmar

ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10002:10001
WORKDIR /work
ENTRYPOINT ["python3", "/opt/goldmar/batch.py"]
