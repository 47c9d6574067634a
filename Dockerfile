# Two images of one application: --target cpu (the default) and --target gpu, which adds PyTorch with CUDA.
# The dependencies are installed before the code is copied, so that a change of code rebuilds in seconds.

FROM python:3.11.16-slim-bookworm AS dependencies
ENV AIRFLOW_HOME=/opt/airflow \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1
# Volumes take their owner from these folders when they are first mounted.
RUN useradd --uid 50000 --create-home --home-dir /opt/airflow airflow \
    && mkdir -p /opt/airflow/auth /opt/airflow/logs \
        /var/lib/classifier/home /var/lib/classifier/inbox /var/lib/classifier/models \
    && chown -R airflow: /opt/airflow /var/lib/classifier
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir classifier && touch classifier/__init__.py \
    && pip install ".[airflow,celery,kubernetes,signals]" -c constraints.txt \
    && pip uninstall --yes article-classifier

FROM dependencies AS gpu-dependencies
RUN pip install torch -c constraints.txt

FROM dependencies AS application
COPY classifier classifier
RUN pip install --no-deps --root /application .
COPY dags /application/opt/airflow/dags
COPY plugins /application/opt/airflow/plugins
COPY docker/init.sh /application/opt/airflow/init.sh
# A checkout made under umask 077 is private, and the images' user is another one.
RUN chmod -R a+rX /application

FROM gpu-dependencies AS gpu
ENV KERAS_BACKEND=torch
COPY --from=application /application/usr/local /usr/local
COPY --from=application /application/opt/airflow /opt/airflow
WORKDIR /opt/airflow
USER airflow
CMD ["airflow", "version"]

FROM dependencies AS cpu
COPY --from=application /application/usr/local /usr/local
COPY --from=application /application/opt/airflow /opt/airflow
WORKDIR /opt/airflow
USER airflow
CMD ["airflow", "version"]
