-- Run once, by Postgres' own start on an empty volume: one database for each server.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
