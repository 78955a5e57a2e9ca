# gnomon-stack: makes secrets and configurations when the stack in containers starts, and ends.
# Build it from the checkout's root:
#
#   docker build --file packaging/stack.Dockerfile --tag gnomon-stack .

ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
RUN python3 -m venv /opt/gnomon
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
# What it needs comes first, with a stub for the rest: a change of the code then takes seconds.
RUN mkdir -p exporter/gnomon_exporter && echo '__version__ = "0"' > exporter/gnomon_exporter/__init__.py \
    && /opt/gnomon/bin/python -m pip install --quiet --no-cache-dir --constraint constraints.txt \
      . pyyaml
COPY exporter exporter
COPY instrumentation instrumentation
COPY stack stack
RUN /opt/gnomon/bin/python -m pip install --quiet --no-cache-dir --constraint constraints.txt \
      --no-deps --force-reinstall . \
    # Nobody installs anything into the image that runs.
    && /opt/gnomon/bin/python -m pip uninstall --quiet --yes pip setuptools

FROM ${PYTHON}
COPY --from=build /opt/gnomon /opt/gnomon
# docker-compose.yml makes it root, for files of other users; by itself it needs to be nobody's.
USER 65534:65534
ENTRYPOINT ["/opt/gnomon/bin/python", "-m", "gnomon_stack.compose"]
CMD ["setup"]
