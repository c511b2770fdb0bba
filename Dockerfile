# The images of Mitosis: operator, instance (mysqld and its agent) and gate, on one base.
# The context holds dependencies/, project/ and bin/ of each; `python -m mitosis_local context DIR`
# makes it from the lock files, so that building needs no network beyond a base with its packages.
ARG BASE=debian:sid

FROM ${BASE} AS base
RUN if ! command -v mysqld || ! command -v python3; then \
      apt-get update && \
      apt-get install --yes --no-install-recommends \
        ca-certificates mysql-client-core mysql-server-core python3 && \
      rm -rf /var/lib/apt/lists/*; \
    fi; \
    groupadd --system --gid 999 mitosis && \
    useradd --system --uid 999 --gid 999 --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin mitosis && \
    install --directory --owner=999 --group=999 --mode=0750 /var/lib/mysql /run/mysqld
# bytecode is made here because the root file system is read-only later
ENV COMPILE="python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/mitosis/project:/opt/mitosis/dependencies \
    PYTHONUNBUFFERED=1
USER 999:999

FROM base AS operator
USER 0:0
COPY dependencies/operator /opt/mitosis/dependencies
RUN $COMPILE /opt/mitosis/dependencies
COPY project/operator /opt/mitosis/project
COPY bin/mitosis-operator /usr/local/bin/
RUN $COMPILE /opt/mitosis/project
USER 999:999
ENTRYPOINT ["mitosis-operator"]

FROM base AS instance
USER 0:0
COPY dependencies/instance /opt/mitosis/dependencies
RUN $COMPILE /opt/mitosis/dependencies
COPY project/instance /opt/mitosis/project
COPY bin/mitosis-agent /usr/local/bin/
RUN $COMPILE /opt/mitosis/project
USER 999:999
ENTRYPOINT ["mitosis-agent"]

FROM base AS gate
USER 0:0
COPY dependencies/gate /opt/mitosis/dependencies
RUN $COMPILE /opt/mitosis/dependencies
COPY project/gate /opt/mitosis/project
COPY bin/mitosis-gate bin/mitosis-gate-merge /usr/local/bin/
RUN $COMPILE /opt/mitosis/project
USER 999:999
ENTRYPOINT ["mitosis-gate"]
