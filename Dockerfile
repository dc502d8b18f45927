# albench in a container, see docs/cluster.md. The tests lint this file; no test builds the image.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

# Options of pip for torch alone, such as the index of builds for another CUDA or for the CPU. By default, a Linux machine
# with an x86 CPU gets a build that brings CUDA along, so no other base image is needed for a GPU.
ARG TORCH_OPTIONS=

WORKDIR /src
COPY constraints.txt ./
# shellcheck disable=SC2086  # options are several words
RUN pip install --no-cache-dir ${TORCH_OPTIONS} --constraint constraints.txt torch
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY albench albench
COPY strategies strategies
COPY datasets datasets
COPY benchmarks benchmarks
COPY reports reports

RUN pip install --no-cache-dir --constraint constraints.txt '.[formats]'

# Caches are in the home folder, so mounting one keeps runs and caches; `--user` may name any user.
WORKDIR /work
ENV HOME=/work
RUN chmod 1777 /work
USER 1000
ENTRYPOINT ["albench"]
CMD ["--help"]
