# Two images of one application: --target cpu, and --target gpu, which adds PyTorch with CUDA.
#
# Layers, from the one that changes least: Python, the dependencies, for the GPU PyTorch, the application. Only the last
# one changes with the code. The instructions need neither BuildKit nor network access beyond the package index.
ARG VERSION=0.1.0

FROM python:3.11.16-slim-bookworm AS base
ENV AIRFLOW_HOME=/opt/airflow \
    PATH=/opt/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1
# Volumes take their owner from these folders when they are first mounted.
RUN useradd --uid 50000 --create-home --home-dir /opt/airflow airflow \
    && mkdir -p /opt/airflow/auth /opt/airflow/logs \
        /var/lib/classifier/home /var/lib/classifier/inbox /var/lib/classifier/models \
    && chown -R airflow: /opt/airflow /var/lib/classifier

# The dependencies alone, so that other changes of pyproject.toml install nothing again.
FROM base AS requirements
WORKDIR /build
COPY pyproject.toml constraints.txt docker/requirements.py ./
RUN python requirements.py pyproject.toml airflow celery kubernetes signals > requirements.txt \
    && chmod a+r requirements.txt constraints.txt

FROM base AS dependencies
WORKDIR /build
COPY --from=requirements /build/requirements.txt /build/constraints.txt ./
# TensorFlow without CUDA has the same modules under another name, and half the size: PyTorch serves the GPU.
RUN umask 022 \
    && python -m venv /opt/venv \
    && pip install --no-compile setuptools==80.9.0 \
    && pip install --no-compile --requirement requirements.txt --constraint constraints.txt \
    && tensorflow=$(sed -n 's/^tensorflow==//p' constraints.txt) \
    && pip uninstall --yes --quiet tensorflow tensorflow-text libclang \
    && pip install --no-compile --no-deps "tensorflow-cpu==$tensorflow"
# Only what this stage leaves in /opt/venv is copied, so its steps may be several layers. Bytecode is written here, since
# no service may write it; some packages hold templates that are not valid Python. The imports fail if too much is gone.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils >/dev/null
COPY docker/trim.sh ./
RUN umask 022 \
    && sh trim.sh /opt/venv/lib/python3.11/site-packages \
    && KERAS_HOME=/tmp/keras python -B -c "import keras_hub, openvino, pandas, pyarrow.parquet, scipy.stats, sklearn.linear_model, transformers" \
    && { python -m compileall -q --invalidation-mode unchecked-hash -x '/transformers/models/' /opt/venv/lib || true; }
# The list of what is installed, as a software bill of materials.
RUN umask 022 \
    && python -m venv /sbom && /sbom/bin/pip install --quiet cyclonedx-bom==7.5.0 \
    && /sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o /opt/venv/sbom.cdx.json /opt/venv/bin/python \
    && rm -rf /sbom

FROM dependencies AS application
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY classifier classifier
COPY dags dags
COPY plugins plugins
COPY docker/init.sh docker/health.py /application/opt/airflow/
RUN pip install --no-deps --no-build-isolation --no-compile --root /application . \
    && cp -R dags plugins /application/opt/airflow/ \
    && python -m compileall -q --invalidation-mode unchecked-hash /application \
    && chmod -R a+rX,go-w /application  # a checkout made under umask 077 is private, and the images' user is another one

FROM base AS runtime
COPY --from=dependencies /opt/venv /opt/venv
WORKDIR /opt/airflow

FROM runtime AS cpu
ARG VERSION
ARG REVISION=unknown
LABEL org.opencontainers.image.title="article-classifier" \
    org.opencontainers.image.description="Labels every article in a Postgres database, with Airflow" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
COPY --from=application /application /
USER airflow
CMD ["airflow", "version"]

FROM dependencies AS gpu-dependencies
RUN umask 022 && pip install --root /gpu torch --constraint constraints.txt

FROM runtime AS gpu
ENV KERAS_BACKEND=torch
ARG VERSION
ARG REVISION=unknown
LABEL org.opencontainers.image.title="article-classifier" \
    org.opencontainers.image.description="Labels every article in a Postgres database, with Airflow; trains on a GPU" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
COPY --from=gpu-dependencies /gpu /
COPY --from=application /application /
USER airflow
CMD ["airflow", "version"]
