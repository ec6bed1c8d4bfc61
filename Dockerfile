# syntax=docker/dockerfile:1
# One image for every part: `docker run salespulse worker`, `... board`, `... notifier`, and so on.
# The first stage compiles the core and installs, the second runs: no compiler, no package index and no root in what is shipped.

FROM python:3.11.15-slim-bookworm@sha256:b18992999dbe963a45a8a4da40ac2b1975be1a776d939d098c647482bcad5cba AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/salespulse
WORKDIR /src
# The locked packages first: they change seldom, and the layer is kept while only our own code changes.
COPY requirements/runtime.lock requirements/runtime.lock
RUN /opt/salespulse/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: --requirement requirements/runtime.lock
COPY requirements/compile.lock requirements/compile.lock
RUN /opt/salespulse/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: --target compiler --requirement requirements/compile.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY config config
COPY processors processors
RUN PYTHONPATH=compiler /opt/salespulse/bin/python -m processors.dev.compiled
# The builder (setuptools) is among the locked packages, so that nothing unpinned is fetched here.
RUN /opt/salespulse/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/salespulse/bin/pip uninstall --quiet --yes pip

FROM python:3.11.15-slim-bookworm@sha256:b18992999dbe963a45a8a4da40ac2b1975be1a776d939d098c647482bcad5cba
LABEL org.opencontainers.image.title="Salespulse" \
      org.opencontainers.image.description="Live, customer-centred numbers for sales teams" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed number, so that orchestrators can tell it from root, and volumes keep their owner.
RUN groupadd --gid 10001 salespulse \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/salespulse --shell /usr/sbin/nologin salespulse \
    && install --directory --owner=10001 --group=10001 /var/lib/salespulse
COPY --from=build /opt/salespulse /opt/salespulse
ENV PATH=/opt/salespulse/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SALESPULSE_BOARD__HOST=0.0.0.0 \
    SALESPULSE_WORKER__METRICS_HOST=0.0.0.0 \
    SALESPULSE_NOTIFIER__METRICS_HOST=0.0.0.0 \
    SALESPULSE_WORKER__DATA_DIR=/var/lib/salespulse
USER 10001:10001
WORKDIR /var/lib/salespulse
# 8080: the board. 9101 and 9102: metrics of a worker and of the notifier.
EXPOSE 8080 9101 9102
ENTRYPOINT ["salespulse"]
CMD ["--help"]
