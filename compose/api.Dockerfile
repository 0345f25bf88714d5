# TorchServe with the archives of model_store/. Built from the root of the project; see docker-compose.yml beside this.
# Plain enough for the classic builder as well as for BuildKit: nothing has to be pulled but the base image.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# --- packages: the lock file, into a virtual environment without pip --------------------------------------------------
FROM ${BASE_IMAGE} AS packages
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG GOLDMAR_TORCH_INDEX
ARG LOCK=ci/locks/api.txt
# The second source is a pattern that may match nothing: without a wheelhouse pip asks its index.
COPY ${LOCK} wheelhous[e] /wheels/
COPY ci/torch_index.py compose/install.py /build/
RUN ["python3", "/build/install.py", "/wheels", "/opt/venv"]

# --- archives: those of GOLDMAR_MODELS, held against the digests that become the image's label ------------------------
FROM ${BASE_IMAGE} AS archives
ARG GOLDMAR_ARCHIVES
ARG GOLDMAR_MODELS
ARG GOLDMAR_SOURCE=src/goldmar
# With goldmar's own reader of archives and rule for names: of its repository, or of the copy that `goldmar init
# --compose` makes.
COPY compose/archives.py ${GOLDMAR_SOURCE}/names.py ${GOLDMAR_SOURCE}/zips.py /build/
COPY compose/config.properties compose/log4j2.xml compose/ready.py compose/serve.py /build/
COPY compose/config.properties model_store/*.ma[r] /store/
RUN ["python3", "/build/archives.py", "/store", "/opt/goldmar"]

# --- the image --------------------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE}
# An official Python image brings pip; nothing here needs it. The user has no home, no shell and no password.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip* \
 && groupadd --gid 10001 goldmar \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin goldmar \
 && install -d -o 10001 -g 10001 -m 0700 /run/server \
 && install -d -o 10001 -g 10001 -m 0750 /run/goldmar
COPY --from=packages /opt/venv /opt/venv
COPY --from=archives /opt/goldmar /opt/goldmar

ARG GOLDMAR_ARCHIVES
ARG GOLDMAR_MODELS
LABEL goldmar.archives="${GOLDMAR_ARCHIVES}" \
      goldmar.models="${GOLDMAR_MODELS}"

ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1 \
    GOLDMAR_STAGES=off
USER 10001:10001
WORKDIR /run/server
EXPOSE 8080
ENTRYPOINT ["python3", "/opt/goldmar/serve.py"]
