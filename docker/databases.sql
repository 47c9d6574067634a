-- Run once, by the postgres image, when its volume is empty: two databases, each with an owner of its
-- own, so that neither Airflow's password nor a leak of it opens the articles. The owner of the articles
-- makes the roles that work with them: see `classifier db roles`.
-- \getenv keeps the passwords out of this file and off every command line.
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv articles_password ARTICLES_DB_PASSWORD

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE articles LOGIN CREATEROLE PASSWORD :'articles_password';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE articles OWNER articles;
REVOKE CONNECT, TEMPORARY ON DATABASE airflow, articles FROM PUBLIC;
