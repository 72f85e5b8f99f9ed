# The platform: web, gateway, worker and reconciler are one image, started as `up --only …`. See docs/install.md.
# Needs BuildKit (docker build of Engine 23 or newer; DOCKER_BUILDKIT=1 before).
ARG PYTHON_IMAGE=python:3.12-slim
ARG DOCKER_CLI_IMAGE=docker:28-cli

FROM ${DOCKER_CLI_IMAGE} AS docker

FROM ${PYTHON_IMAGE} AS dependencies
# The secret `ca` is a PEM file of authorities to trust, for a proxy with its own.
ARG PIP_INDEX_URL=https://pypi.org/simple
COPY requirements.txt /tmp/
RUN --mount=type=secret,id=ca \
    ca=/etc/ssl/certs/ca-certificates.crt; if [ -s /run/secrets/ca ]; then ca=/run/secrets/ca; fi; \
    export PIP_INDEX_URL PIP_CERT=$ca SSL_CERT_FILE=$ca; \
    python3 -m venv --without-pip /opt/mcphost && python3 -m venv /tmp/tools \
    && /tmp/tools/bin/pip install -q --disable-pip-version-check "$(grep '^uv==' /tmp/requirements.txt)" \
    && /tmp/tools/bin/uv pip install --python /opt/mcphost/bin/python --index-url "$PIP_INDEX_URL" \
       --no-cache --no-deps --compile-bytecode -r /tmp/requirements.txt \
    && find /opt/mcphost -name tests -type d -path '*/site-packages/*' -prune -exec rm -rf {} +

FROM ${PYTHON_IMAGE}
# What workers call: git and ssh to fetch sources, a Docker CLI with BuildKit to build them. A base image that
# has git needs no package index. For npm servers on the runtime `process`: EXTRA_PACKAGES="nodejs npm".
ARG EXTRA_PACKAGES=""
RUN if [ -n "$EXTRA_PACKAGES" ] || ! command -v git >/dev/null; then \
      apt-get update \
      && apt-get install -y --no-install-recommends ca-certificates git openssh-client $EXTRA_PACKAGES \
      && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=docker /usr/local/bin/docker /usr/local/bin/docker
COPY --from=docker /usr/local/libexec/docker/cli-plugins/docker-buildx* /usr/local/libexec/docker/cli-plugins/
COPY --from=dependencies /opt/mcphost /opt/mcphost
# .dockerignore says what.
COPY . /app/

# A number, so that Kubernetes can tell that it is not root. /data is all that it writes to, besides /tmp.
RUN echo "mcphost:x:10001:10001:MCP Host:/data:/bin/sh" >> /etc/passwd \
    && echo "mcphost:x:10001:" >> /etc/group \
    && install -d -m 0700 -o 10001 -g 10001 /data \
    && /opt/mcphost/bin/python -m compileall -q /app
USER 10001:10001
WORKDIR /app
VOLUME /data
ENV PATH=/opt/mcphost/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/data \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    ENV_FILE=/data/.env \
    BIND_PORT=3000 \
    METRICS_PORT=9100
EXPOSE 3000 9100
HEALTHCHECK --interval=10s --timeout=8s --start-period=60s --retries=3 \
    CMD python -m mcphost.healthcheck ${BIND_PORT} ${METRICS_PORT}
ENTRYPOINT ["python", "/app/manage.py"]
CMD ["up"]

ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="MCP Host" \
      org.opencontainers.image.description="Takes a Model Context Protocol server from its source to a URL" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
