# A server of models, on processors: docs/serving.md says how to build and start it.
#
#     docker build -t regard .
#     docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs:/models:ro" regard /models/mood --workers 2

FROM python:3.11.14-slim-bookworm AS build

# An environment without pip, which nothing needs later; the pip of the base image installs into it.
RUN python -m venv --without-pip /opt/regard
ENV PIP_PYTHON=/opt/regard/bin/python \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /source

# torch in a layer of its own, since it is the largest and changes least. PyPI's build brings CUDA along; `+cpu` of
# torch's own index is the newer of two equal versions, so pip takes that.
COPY constraints.txt ./
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --extra-index-url "$TORCH_INDEX" --constraint constraints.txt torch

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
ARG EXTRAS=serve,otel,transformers
RUN pip install --constraint constraints.txt ".[$EXTRAS]"


FROM python:3.11.14-slim-bookworm

RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin regard
COPY --from=build /opt/regard /opt/regard
ENV PATH=/opt/regard/bin:$PATH

# By number, so that a cluster can see that it is not root. The home holds the cache of compiled kernels.
USER 10001:10001
WORKDIR /home/regard
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4).close()"]

# Inside a container every address is its own; what is published says who can reach it.
ENTRYPOINT ["regard", "serve", "--host", "0.0.0.0", "--port", "8000", "--log-format", "json"]
CMD ["/model"]
