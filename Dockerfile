# One image for every process of Hansard: `docker run … hansard gateway`.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /opt/hansard \
    && /opt/hansard/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY domain domain
COPY projections projections
COPY gateway gateway
COPY workers workers
RUN /opt/hansard/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
# Named by number too, so that an orchestrator can check that it is not root.
RUN groupadd --gid 10001 hansard \
    && useradd --uid 10001 --gid 10001 --no-create-home hansard \
    && install -d -o hansard -g hansard -m 0700 /var/lib/hansard /var/cache/hansard
COPY --from=build /opt/hansard /opt/hansard
ENV PATH=/opt/hansard/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HANSARD_DATA_DIR=/var/lib/hansard \
    HANSARD_CACHE_DIR=/var/cache/hansard \
    HANSARD_HOST=0.0.0.0 \
    HANSARD_PORT=8000
USER 10001:10001
EXPOSE 8000
# Whether it does its work. An engine that restarts what is not healthy should ask /healthz instead:
# starting anew mends nothing of what a process waits for.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['HANSARD_PORT']), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["hansard"]
CMD ["serve"]
