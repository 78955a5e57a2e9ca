# gnomon-demo: the desk, the exchange that it asks, its worker and its load, each by a word. Build it
# from the checkout's root:
#
#   docker build --file packaging/demo.Dockerfile --tag gnomon-demo .

ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
RUN python3 -m venv /opt/gnomon
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
# What it needs comes first, with a stub for the rest: a change of the code then takes seconds.
# Beside the demo: what it uses of this stack, and spans of each of these.
RUN mkdir -p exporter/gnomon_exporter && echo '__version__ = "0"' > exporter/gnomon_exporter/__init__.py \
    && /opt/gnomon/bin/python -m pip install --quiet --no-cache-dir --constraint constraints.txt \
      '.[celery,clients,demo,redis]' asyncpg celery
COPY exporter exporter
COPY instrumentation instrumentation
COPY demo demo
RUN /opt/gnomon/bin/python -m pip install --quiet --no-cache-dir --constraint constraints.txt \
      --no-deps --force-reinstall . \
    # Nobody installs anything into the image that runs.
    && /opt/gnomon/bin/python -m pip uninstall --quiet --yes pip setuptools \
    && install --directory --owner=65534 --group=65534 /data

FROM ${PYTHON}
COPY --from=build /opt/gnomon /opt/gnomon
# A volume that is mounted here for the first time takes its owner over.
COPY --from=build --chown=65534:65534 /data /data
ENV PATH=/opt/gnomon/bin:/usr/local/bin:/usr/bin:/bin GNOMON_DEMO_DATA=/data GNOMON_DEMO_LISTEN=0.0.0.0
USER 65534:65534
EXPOSE 8000 8001 8002
ENTRYPOINT ["/opt/gnomon/bin/python", "-m", "gnomon_demo"]
CMD ["desk"]
