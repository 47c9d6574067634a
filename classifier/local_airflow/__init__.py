"""Run `airflow standalone` on this machine and drive it through its REST API: for the demo, tests and benchmarks."""
