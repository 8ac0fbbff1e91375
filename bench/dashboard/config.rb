# frozen_string_literal: true

# The limits of a pod: small ones, so that minutes show what takes days elsewhere.

workers 2
threads 4, 4
environment "production"
max_queue 12
request_timeout 3
write_timeout 3
termination_grace 20
drain_delay 8
worker_shutdown_timeout 3
max_connections 60

# So that a restart replaces the workers one by one, and the master stays and goes on counting.
preload_app false

# For a start after which no thread comes to the app for some time.
before_thread_start { sleep(Float(ENV.fetch("SLOW_THREADS", "0"))) }
