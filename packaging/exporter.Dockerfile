# gnomon-exporter, for the host that it runs on. Build it from the checkout's root:
#
#   docker build --file packaging/exporter.Dockerfile --tag gnomon-exporter .
#
# docker-compose.yml shows how it is run: the host's / at /host, the host's pids, nothing writable.

ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
RUN python3 -m venv /opt/gnomon
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
# What it needs comes first, with a stub for the rest: a change of the code then takes seconds.
RUN mkdir -p exporter/gnomon_exporter && echo '__version__ = "0"' > exporter/gnomon_exporter/__init__.py \
    && /opt/gnomon/bin/python -m pip install --quiet --no-cache-dir --constraint constraints.txt \
      '.[celery,exporter]'
COPY exporter exporter
COPY instrumentation instrumentation
RUN /opt/gnomon/bin/python -m pip install --quiet --no-cache-dir --constraint constraints.txt \
      --no-deps --force-reinstall . \
    # Nobody installs anything into the image that runs.
    && /opt/gnomon/bin/python -m pip uninstall --quiet --yes pip setuptools

FROM ${PYTHON}
COPY --from=build /opt/gnomon /opt/gnomon
# nobody, by number: a runtime that refuses root can see that this is none.
USER 65534:65534
EXPOSE 9840
# On every interface of the container; which of the host's reach it, the published port says.
ENTRYPOINT ["/opt/gnomon/bin/gnomon-exporter", "--path.rootfs=/host", "--web.listen-address=:9840"]
