# The service of rim in a container, with the model of the package.
#
#   docker build -t rim .      for CPUs and NVIDIA GPUs
#   docker build -t rim --build-arg PIP_EXTRA_INDEX_URL=<address> .      for CPUs alone, 4 GB less; see docs/serving.md
#   docker run -p 8000:8000 -v rim-data:/data -v ./keys.txt:/run/secrets/keys:ro rim
#   docker run --gpus all -p 8000:8000 -v rim-data:/data -v ./keys.txt:/run/secrets/keys:ro rim --device cuda
#
# docs/serving.md says how to make keys.txt and how to ask.
FROM python:3.13-slim AS build
ARG PIP_EXTRA_INDEX_URL
RUN python -m venv /opt/rim
COPY pyproject.toml README.md LICENSE constraints.txt /src/
COPY src /src/src
COPY conf /src/conf
# The versions of the lock. pip reads PIP_EXTRA_INDEX_URL by itself.
RUN /opt/rim/bin/pip install --no-cache-dir -c /src/constraints.txt "/src[serve]"

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 rim && mkdir /data && chown rim /data
COPY --from=build /opt/rim /opt/rim
ENV PATH=/opt/rim/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=60s --timeout=5s CMD \
  ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["rim", "serve", "--host", "0.0.0.0", "--port", "8000", "--keys", "/run/secrets/keys", "--index", "/data/known", "--log", "/data/decisions.jsonl"]
