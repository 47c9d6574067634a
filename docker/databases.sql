-- The postgres image runs this file once, when its volume is empty. It creates two databases with different owners, so
-- that Airflow's password gives no access to the articles. The owner of the articles' database creates the roles of
-- pipeline and analysts: see `classifier db roles`.
-- \getenv keeps the passwords out of this file and out of command lines.
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv articles_password ARTICLES_DB_PASSWORD

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE articles LOGIN CREATEROLE PASSWORD :'articles_password';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE articles OWNER articles;
REVOKE CONNECT, TEMPORARY ON DATABASE airflow, articles FROM PUBLIC;
