# frozen_string_literal: true

# unicorn has no flag for it.
worker_processes Integer(ENV.fetch("WEB_CONCURRENCY", "1"))
preload_app true
